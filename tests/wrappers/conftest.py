from pathlib import Path

import pytest

from tests.wrappers.tiny_model import save_tiny_model


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """So small a model only waits for a second thread, and for long where another process has its core."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny base model."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny-model"))
