import errno

import pytest

from resources.failures import DatasetUnusable, classify


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "OUT_OF_MEMORY"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "OUT_OF_MEMORY"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "OUT_OF_MEMORY"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "OUT_OF_MEMORY"),
        (OSError(errno.ENOSPC, "No space left on device"), "DISK_ERROR"),
        (OSError(errno.EROFS, "Read-only file system"), "DISK_ERROR"),
        (OSError(errno.ENOENT, "No such file"), "UNKNOWN_ERROR"),
        (ValueError("Error while serializing: I/O error: No space left on device (os error 28)"), "DISK_ERROR"),
        (RuntimeError("database or disk is full"), "DISK_ERROR"),
        (RuntimeError("CUDA error: device-side assert triggered"), "GPU_ERROR"),
        (DatasetUnusable("Expected a finished folder"), "DATASET_ERROR"),
        (KeyError("cuda"), "UNKNOWN_ERROR"),
        (RuntimeError("shape mismatch"), "UNKNOWN_ERROR"),
    ],
)
def test_errors_have_their_class(error: BaseException, expected: str) -> None:
    assert classify(error) == expected
