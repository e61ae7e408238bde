"""Which of the known classes an error of the trainer belongs to."""

import errno

from core.error_classes import ErrorClass

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory")
# as the writers of weights and of SQLite say it, each as an error of its own
_FULL = ("no space left on device", "disk quota exceeded", "disk is full", "read-only file system")
_GPU = ("cuda", "cudnn", "cublas", "nccl", "hip error")


class DatasetUnusable(ValueError):
    """The dataset of a version is missing, damaged or empty."""


def classify(error: BaseException) -> ErrorClass:
    """The class of an error, by type first and by what libraries write into a RuntimeError second."""
    text = str(error).lower()
    if isinstance(error, DatasetUnusable):
        return "DATASET_ERROR"
    if _is_out_of_memory(error, text):
        return "OUT_OF_MEMORY"
    if (isinstance(error, OSError) and error.errno in _DISK) or any(word in text for word in _FULL):
        return "DISK_ERROR"
    if isinstance(error, RuntimeError) and any(word in text for word in _GPU):
        return "GPU_ERROR"
    return "UNKNOWN_ERROR"


def _is_out_of_memory(error: BaseException, text: str) -> bool:
    # torch is not imported for the name of its error
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(word in text for word in _MEMORY)
