"""Reading safetensors without torch: a bounded header, and whether numbers are finite."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HEADER_LIMIT = 8 << 20
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class Tensor:
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """Tensors by name; their offsets count from `data_start` in the file."""

    tensors: dict[str, Tensor]
    data_start: int


def read_header(path: Path) -> Header:
    """The header of a safetensors file whose tensors fill the rest of the file exactly; ValueError otherwise."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(HEADER_LIMIT, size - 8):
            raise ValueError(
                f"Expected a safetensors header of 2 to {HEADER_LIMIT} bytes in {path}, found length {length}"
            )
        raw = _json_object(path, file.read(length))
    tensors = {name: _tensor(path, name, entry) for name, entry in raw.items() if name != "__metadata__"}
    _check_layout(path, tensors, size - 8 - length)
    return Header(tensors, 8 + length)


def is_finite(path: Path, header: Header, name: str) -> bool:
    """Whether every number of the tensor is finite; bfloat16, unknown to numpy, is read by its exponent bits."""
    tensor = header.tensors[name]
    count = (tensor.end - tensor.begin) // _BYTES[tensor.dtype]
    kind: npt.DTypeLike = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[tensor.dtype]
    values = np.fromfile(path, dtype=kind, count=count, offset=header.data_start + tensor.begin)
    if tensor.dtype == "BF16":
        return bool(np.all((values & 0x7F80) != 0x7F80))
    return bool(np.all(np.isfinite(values)))


def _json_object(path: Path, text: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected a JSON header in {path}, found bytes that do not read: {error}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"Expected a JSON object as header of {path}, found {type(raw).__name__}")
    return raw


def _tensor(path: Path, name: str, entry: Any) -> Tensor:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"Expected dtype, shape and data_offsets for {name} in {path}, found {entry!r:.200}"
        ) from error
    numbers = (*shape, begin, end)
    if dtype not in _BYTES or any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError(f"Expected F32, F16 or BF16 and whole numbers for {name} in {path}, found {entry!r:.200}")
    if end - begin != _BYTES[dtype] * int(np.prod(shape, dtype=object)):
        raise ValueError(f"Expected {name} in {path} to fill its shape {shape}, found {end - begin} bytes")
    return Tensor(dtype, shape, begin, end)


def _check_layout(path: Path, tensors: dict[str, Tensor], size: int) -> None:
    """Tensors lie one after another from 0 to the end of the file, as the format demands."""
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != position:
            raise ValueError(f"Expected {name} in {path} to begin at byte {position}, found {tensor.begin}")
        position = tensor.end
    if position != size:
        raise ValueError(f"Expected {position} bytes of tensors in {path}, found {size}")
