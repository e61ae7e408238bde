from pathlib import Path

import pytest

from tests.wrappers.tiny_model import save_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny base model."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny-model"))
