"""What can go wrong in a training, in six classes, and what a person does about each."""

from typing import Literal, cast, get_args

ErrorClass = Literal["OUT_OF_MEMORY", "DATASET_ERROR", "DISK_ERROR", "INTERRUPTED", "GPU_ERROR", "UNKNOWN_ERROR"]
ErrorGroup = Literal["GPU_ERROR", "DATASET_ERROR", "UNKNOWN_ERROR"]

_ADVICE: dict[ErrorClass, str] = {
    "OUT_OF_MEMORY": "the next attempt computes rows of half the length at once, to the same result; where that is not "
    "enough, set FINETUNE_MAX_LENGTH or FINETUNE_LORA_RANK lower, or leave the engine less memory",
    "DATASET_ERROR": "look at the reasons of the rejected conversations in var/reports/vN/data.html; what is missing "
    "or damaged is made anew by the next attempt",
    "DISK_ERROR": "make room on the disk of the state folder, or lower CHECKPOINT_KEEP; the training goes on from its "
    "last whole checkpoint",
    "INTERRUPTED": "nothing went wrong: resume it, and it goes on from its last checkpoint",
    "GPU_ERROR": "look at nvidia-smi and the driver; with WHETSTONE_DEVICE=cpu it trains without the GPU",
    "UNKNOWN_ERROR": "the last lines of var/logs/trainer-vN.log say more, and so does GET "
    "/api/v1/admin/finetuning/jobs/N/logs",
}


def known(error_class: str | None) -> ErrorClass:
    """The class of that name; what nobody classed is unknown."""
    return cast(ErrorClass, error_class) if error_class in get_args(ErrorClass) else "UNKNOWN_ERROR"


def group_of(error_class: str | None) -> ErrorGroup:
    """One of the three that clients of older systems know."""
    found = known(error_class)
    if found in ("OUT_OF_MEMORY", "GPU_ERROR"):
        return "GPU_ERROR"
    return "DATASET_ERROR" if found == "DATASET_ERROR" else "UNKNOWN_ERROR"


def advice(error_class: str | None, n: int | str = "N") -> str:
    """What a person does about an error of version n."""
    return _ADVICE[known(error_class)].replace("/vN/", f"/v{n}/").replace("-vN.", f"-v{n}.").replace("/N/", f"/{n}/")
