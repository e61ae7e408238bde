"""MinHash signatures of texts, cut into bands: texts alike share a band more likely than not."""

import hashlib
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from core.shingles import Shingles, shingles

BANDS: Final = 16
ROWS: Final = 8
PERMUTATIONS: Final = BANDS * ROWS

_SEED = 42
_MIX = np.uint64(0x9FB21C651E98DF25)
_HALF = np.uint64(32)


def _odd(name: str) -> int:
    """A number without any pattern that is the same everywhere; odd, so that a product by it loses nothing."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") | 1


_FACTORS = np.array(
    [[_odd(f"band {band} place {place}") for place in range(ROWS // 2)] for band in range(BANDS)], np.uint64
)
_OFFSETS = np.array([_odd(f"band {band}") for band in range(BANDS)], np.uint64)

_PROBE = ("", "hi", "Check that the printer has power.", "프린터에 전원이 들어와 있는지 확인해 주세요.", "ab" * 200)


def band_hashes(texts: Shingles) -> NDArray[np.int64]:
    """One row a text, one number a band: (texts, BANDS)."""
    count = len(texts.starts) - 1
    if not count:
        return np.zeros((0, BANDS), np.int64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(texts.hashes, texts.starts, PERMUTATIONS, _SEED)
    signatures = np.array(matrix.to_rows(), np.uint32)
    pairs = signatures.astype("<u4").view("<u8").astype(np.uint64, copy=False).reshape(count, BANDS, ROWS // 2)
    hashes: NDArray[np.uint64] = (pairs * _FACTORS).sum(axis=2, dtype=np.uint64) + _OFFSETS
    hashes ^= hashes >> _HALF
    hashes *= _MIX
    hashes ^= hashes >> _HALF
    return hashes.view(np.int64)


@cache
def signature_version() -> str:
    """Changes whenever the same text would get other bands, through a release of the library as well."""
    made = hashlib.sha256(band_hashes(shingles(_PROBE)).astype("<i8").tobytes())
    return f"{BANDS}x{ROWS}-{RMinHash.ALGORITHM_VERSION}-{made.hexdigest()[:16]}"
