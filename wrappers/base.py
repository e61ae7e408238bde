"""The one interface behind which every model stands, whatever trains or runs it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any


class ModelWrapper(ABC):
    """Four verbs. Serving calls `load` once at start and `predict` for each request."""

    @abstractmethod
    def train(self, data_loader: Iterable[Any], config: Mapping[str, Any]) -> str:
        """Train on what the loader yields and return the id of the MLflow run that holds the result."""

    @abstractmethod
    def evaluate(self, data_loader: Iterable[Any], config: Mapping[str, Any]) -> dict[str, float]:
        """Metrics over what the loader yields, also logged to MLflow."""

    @abstractmethod
    def load(self, model_uri: str) -> None:
        """Make the model at `model_uri` (an MLflow URI or a folder) the one that predicts."""

    @abstractmethod
    def predict(self, input_data: Mapping[str, Any]) -> Any:
        """The output for one request: `input`, and beside it `user_id`, `session_id` and `features` where known."""
