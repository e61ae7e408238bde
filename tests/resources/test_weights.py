import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.weights import HEADER_LIMIT, is_finite, read_header

_BITS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}


def write(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(begin: int = 0, end: int = 16, **changed: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [2, 2], "data_offsets": [begin, end], **changed}


def one(path: Path, dtype: str, bits: list) -> Path:
    values = np.array(bits, dtype=_BITS[dtype])
    return write(path, {"a": entry(0, values.nbytes, dtype=dtype, shape=[len(bits)])}, values.tobytes())


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        ("F32", [0.0, -1.5, 3.4e38]),
        ("F16", [0.0, 65504.0]),
        ("BF16", [0x0000, 0x8000, 0x3F80, 0x7F7F, 0x0001, 0xFF7F]),
    ],
)
def test_finite_numbers_pass_in_every_type(tmp_path: Path, dtype: str, bits: list) -> None:
    path = one(tmp_path / "w", dtype, bits)
    assert is_finite(path, read_header(path), "a")


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        ("F32", [0.0, float("nan")]),
        ("F32", [float("-inf"), 1.0]),
        ("F16", [1.0, float("inf")]),
        ("BF16", [0x3F80, 0x7F80]),
        ("BF16", [0xFF80]),
        ("BF16", [0x7FC0]),
        ("BF16", [0xFFFF]),
    ],
)
def test_nan_and_infinity_are_found_in_every_type(tmp_path: Path, dtype: str, bits: list) -> None:
    path = one(tmp_path / "w", dtype, bits)
    assert not is_finite(path, read_header(path), "a")


def test_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {"x": torch.ones(3, 4), "y": torch.full((2,), float("inf"), dtype=torch.bfloat16)}
    save_file(tensors, tmp_path / "w", metadata={"format": "pt"})
    header = read_header(tmp_path / "w")
    assert {name: tensor.shape for name, tensor in header.tensors.items()} == {"x": (3, 4), "y": (2,)}
    assert is_finite(tmp_path / "w", header, "x")
    assert not is_finite(tmp_path / "w", header, "y")


@pytest.mark.parametrize(
    ("header", "data", "says"),
    [
        (b"{", b"", "header"),
        (b"[1]", b"", "JSON object"),
        (b"[" * 5000 + b"]" * 5000, b"", "header"),
        ({"a": entry()}, b"x" * 15, "bytes of tensors"),
        ({"a": entry()}, b"x" * 17, "bytes of tensors"),
        ({"a": entry(8, 24)}, b"x" * 24, "begin at byte 0"),
        ({"a": entry(), "b": entry(8, 24)}, b"x" * 24, "begin at byte 16"),
        ({"a": entry(0, 12)}, b"x" * 12, "fill its shape"),
        ({"a": entry(dtype="I64")}, b"x" * 16, "F32, F16 or BF16"),
        ({"a": entry(shape=[-2, -2])}, b"x" * 16, "whole numbers"),
        ({"a": entry(shape=[True, 4])}, b"x" * 16, "whole numbers"),
        ({"a": entry(shape="22")}, b"x" * 16, "whole numbers"),
        ({"a": {"dtype": "F32"}}, b"", "data_offsets"),
        ({"a": 3}, b"", "data_offsets"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: object, data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_header(write(tmp_path / "w", header, data))


def test_a_header_that_claims_more_than_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes((HEADER_LIMIT + 1).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="found length"):
        read_header(path)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_give_a_header_or_a_value_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    try:
        read_header(path)
    except ValueError as error:
        assert "Expected" in str(error)  # noqa: PT017 - either outcome is right
