import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.shingles import shingles
from resources import signatures
from resources.signatures import BANDS, ROWS, band_hashes, signature_version

KNOWN = "프린터에 전원이 들어와 있는지 확인해 주세요. Check the power."


@given(st.lists(st.text(max_size=200), max_size=6))
def test_a_text_has_the_same_bands_whatever_stands_beside_it(texts: list[str]) -> None:
    together = band_hashes(shingles(texts))
    assert together.shape == (len(texts), BANDS)
    for row, text in zip(together, texts, strict=True):
        assert np.array_equal(row, band_hashes(shingles([text]))[0])


def test_the_bands_of_a_known_text_are_those_that_were_stored_last_year() -> None:
    """When this fails, stored bands are made again at the next run: expected of a new release, of nothing else."""
    assert signature_version() == "16x8-2-042b729943546d38"
    assert band_hashes(shingles([KNOWN]))[0, :3].tolist() == [
        -1779762863049606596,
        -3231116861624985985,
        7968770671299046693,
    ]


@pytest.mark.parametrize("kernel", ["scalar", "avx2"])
def test_every_processor_makes_the_same_bands(kernel: str) -> None:
    """The library has code for some processors of its own; one that this machine lacks is the plainest here."""
    code = "from resources.signatures import signature_version; print(signature_version())"
    environment = {**os.environ, "RENSA_FORCE_KERNEL": kernel}
    made = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert made.stdout.strip() == signature_version()


def test_one_text_has_another_hash_in_every_band() -> None:
    assert len(set(band_hashes(shingles(["a"]))[0].tolist())) == BANDS


def test_alike_texts_share_as_many_bands_as_the_formula_says() -> None:
    """Of pairs with similarity s, a band agrees with probability s ** ROWS."""
    generator = np.random.default_rng(7)
    alphabet = [chr(code) for code in range(0x3400, 0x4DB0)]
    pairs = []
    for _ in range(400):
        letters = generator.choice(alphabet, 180)
        changed = letters.copy()
        changed[[60, 120]] = generator.choice(alphabet, 2)
        pairs += ["".join(letters), "".join(changed)]
    hashes = band_hashes(shingles(pairs)).reshape(400, 2, BANDS)
    similarity = (176 - 10) / (176 + 10)
    agreeing = float((hashes[:, 0] == hashes[:, 1]).mean())
    assert agreeing == pytest.approx(similarity**ROWS, abs=0.03)


def test_a_library_that_hashes_otherwise_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signature_version()
    monkeypatch.setattr(signatures, "_SEED", 43)
    signature_version.cache_clear()
    try:
        assert signature_version() != before
    finally:
        monkeypatch.undo()
        signature_version.cache_clear()
