"""A chat model as base and LoRA adapter behind the `ModelWrapper` interface."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from core.conversation import Conversation, Message
from core.domain import Domain
from core.recipe import Recipe
from wrappers.adapter_job import AdapterJob, render_fitting, train_adapter
from wrappers.base import ModelWrapper
from wrappers.lora_model import CONFIG, load_adapter, load_base, load_tokenizer, pick_device
from wrappers.lora_scoring import mean_losses

Complete = Callable[[Sequence[dict[str, str]]], str]


class LoraOptions(Domain):
    """What `train` and `evaluate` take as `config`; `output_dir` receives the adapter's two files."""

    output_dir: Path | None = None
    experiment: str = "Default"
    run_name: str | None = None
    recipe: Recipe = Field(default_factory=Recipe)
    replay: tuple[Conversation, ...] = ()


class LoraWrapper(ModelWrapper):
    """Served, it asks the engine through `complete`; alone, it loads `base` and the adapter into this process.

    MLflow is reached at the tracking address of the process, which the caller sets.
    """

    def __init__(self, base: Path | None = None, *, complete: Complete | None = None) -> None:
        self._base = base
        self._complete = complete
        self._adapter: Path | None = None
        self._loaded: tuple[Any, Any] | None = None

    def train(self, data_loader: Iterable[Conversation], config: Mapping[str, Any]) -> str:
        import mlflow

        options = LoraOptions.model_validate(dict(config))
        if options.output_dir is None:
            raise ValueError("Expected output_dir in the config of train, found none: name the adapter's folder")
        options.output_dir.mkdir(parents=True, exist_ok=True)
        base = self._base_folder()
        job = AdapterJob(base, base.name, list(data_loader), options.replay, options.recipe)
        mlflow.set_experiment(options.experiment)
        with mlflow.start_run(run_name=options.run_name) as run:
            mlflow.log_params(options.recipe.model_dump(mode="json"))
            trained = train_adapter(
                job, options.output_dir, on_step=lambda report: mlflow.log_metric("loss", report.loss, step=report.step)
            )
            mlflow.log_metrics({**trained.counts(), "final_loss": trained.result.final_loss})
            mlflow.log_artifacts(str(options.output_dir), artifact_path="adapter")
        return str(run.info.run_id)

    def evaluate(self, data_loader: Iterable[Conversation], config: Mapping[str, Any]) -> dict[str, float]:
        """`loss` and `base_loss`: nats per label token, averaged over conversations."""
        import mlflow

        options = LoraOptions.model_validate(dict(config))
        model, tokenizer = self._model()
        conversations = list(render_fitting(list(data_loader), tokenizer, options.recipe.max_length).values())
        if not conversations:
            raise ValueError("Expected at least one conversation to evaluate on, found none")
        losses = mean_losses(model, conversations, options.recipe.pack_tokens)
        metrics = {"loss": sum(losses) / len(losses), "conversations": float(len(losses))}
        if self._adapter:
            with model.disable_adapter():
                plain = mean_losses(model, conversations, options.recipe.pack_tokens)
            metrics["base_loss"] = sum(plain) / len(plain)
        mlflow.set_experiment(options.experiment)
        with mlflow.start_run(run_name=options.run_name, nested=mlflow.active_run() is not None):
            mlflow.log_metrics(metrics)
        return metrics

    def load(self, model_uri: str) -> None:
        """Use the adapter at `model_uri`: a folder, or an address MLflow understands."""
        self._adapter = _adapter_folder(_fetched(model_uri), model_uri)
        self._loaded = None

    def predict(self, input_data: Mapping[str, Any]) -> str:
        """The reply to `input`: a text, a list of messages, or an object with `messages`. Features are not used."""
        messages = messages_of(input_data.get("input"))
        if self._complete is not None:
            return self._complete(messages)
        return self._generate(messages)

    def _base_folder(self) -> Path:
        if self._base is None:
            raise ValueError("Expected the folder of a base model, found none: give LoraWrapper its base")
        return self._base

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            base = load_base(self._base_folder(), pick_device())
            model = load_adapter(base, self._adapter) if self._adapter else base
            self._loaded = model, load_tokenizer(self._base_folder())
        return self._loaded

    def _generate(self, messages: Sequence[dict[str, str]], max_new_tokens: int = 256) -> str:
        import torch

        model, tokenizer = self._model()
        prompt = tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, return_dict=True, return_tensors="pt"
        ).to(model.device)
        with torch.inference_mode():
            ids = model.generate(**prompt, max_new_tokens=max_new_tokens, do_sample=False)
        return str(tokenizer.decode(ids[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))


def messages_of(value: Any) -> list[dict[str, str]]:
    """The messages meant by the `input` of a request; a ValueError says what was expected and found."""
    if isinstance(value, Mapping):
        value = value.get("messages")
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise ValueError(
            f"Expected a text, a list of messages, or an object with messages as input, found {type(value).__name__}"
        )
    return [Message.model_validate(message).model_dump() for message in value]


def _fetched(model_uri: str) -> Path:
    local = Path(model_uri)
    if local.is_dir():
        return local
    import mlflow

    return Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri))


def _adapter_folder(folder: Path, model_uri: str) -> Path:
    found = sorted(folder.rglob(CONFIG))
    if len(found) != 1:
        raise ValueError(f"Expected one {CONFIG} in {model_uri}, found {len(found)}: name the adapter of one version")
    return found[0].parent
