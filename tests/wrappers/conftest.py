from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wrappers.tiny_model import save_tiny_model
from wrappers import row_workers


@pytest.fixture(scope="session", autouse=True)
def one_core() -> Iterator[None]:
    """So small a model only waits for a second thread, and for long where another process has its core."""
    import torch

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_workers, "usable_cores", lambda: 1)
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny base model."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny-model"))
