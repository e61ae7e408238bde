from math import log

import pytest

from core.drift import drift


def test_the_same_shares_do_not_drift() -> None:
    found = drift({"ko": 500, "en": 500}, {"ko": 500, "en": 500})
    assert (found.psi, found.divergence, found.large) == (0.0, 0.0, False)


def test_the_index_is_that_of_the_formula() -> None:
    found = drift({"ko": 70_000, "en": 30_000}, {"ko": 30_000, "en": 70_000})
    assert found.psi == pytest.approx(2 * 0.4 * log(0.7 / 0.3), abs=0.001)
    assert found.large


def test_an_empty_bucket_is_finite_and_a_complete_change_is_one_bit() -> None:
    found = drift({"ko": 10**6}, {"en": 10**6})
    assert found.divergence == pytest.approx(1.0, abs=0.001)
    assert found.psi < 100


def test_a_few_conversations_are_too_few_to_tell() -> None:
    assert not drift({"ko": 20}, {"en": 20}).large
    assert drift({}, {}).psi == 0.0
