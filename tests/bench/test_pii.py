"""The set that personal data is measured on, and what counts as found."""

from bench.pii import KINDS, at_its_best, figures
from bench.pii_score import Score, score
from bench.pii_turns import STRUCTURED, WORDINGS, Label, Turn, canary, turns
from bench.report import Report
from core.pii import ALL

TURN = Turn("mail kim@example.com now", (Label("email", 5, 20),), "en")


def test_a_seed_gives_the_same_turns_with_every_kind_in_both_languages() -> None:
    made = turns(1, 600)
    assert made == turns(1, 600) != turns(2, 600)
    assert {label.kind for turn in made for label in turn.labels} == set(KINDS)
    assert set(STRUCTURED) < set(KINDS) < ALL
    assert {turn.language for turn in made} == {"ko", "en"}
    assert sum(not turn.labels for turn in made) > 100


def test_held_back_turns_are_worded_as_no_seen_one_is() -> None:
    for carrier in WORDINGS["carriers"]:
        assert not set(carrier["seen"]) & set(carrier["held_back"])
        assert all(wording.count("{}") == 1 for wording in [*carrier["seen"], *carrier["held_back"]])


def test_a_canary_is_of_different_values_of_the_kinds_asked_for() -> None:
    made = canary(3, 50, {"card", "rrn"})
    values = {turn.text[label.start : label.end] for turn in made for label in turn.labels}
    assert len(values) == 50
    assert {label.kind for turn in made for label in turn.labels} == {"card", "rrn"}


def test_only_the_whole_value_of_its_kind_counts() -> None:
    def counted(*found: tuple[str, int, int]) -> tuple[float | None, float | None]:
        result = score([TURN], [list(found)])
        return result.recall(["email"]), result.precision(["email"])

    assert counted(("email", 5, 20)) == (1, 1)
    assert counted(("email", 4, 21)) == (1, 1)
    assert counted(("email", 4, 22)) == (0, 0)
    assert counted(("email", 6, 20)) == (0, 0)
    assert counted(("phone", 5, 20)) == (0, None)
    assert counted(("email", 5, 20), ("email", 0, 3)) == (1, 0.5)


def test_presidio_is_taken_at_the_threshold_that_suits_it_best() -> None:
    sure, unsure = ("EMAIL_ADDRESS", 5, 20, 1.0), ("PHONE_NUMBER", 0, 4, 0.4)
    limit, best = at_its_best([TURN], [[sure, unsure, ("URL", 9, 20, 0.5)]])
    assert (limit, best.precision(["email", "phone"])) == (0.5, 1)


def test_a_missed_value_a_wrong_one_or_too_little_speed_falls_short() -> None:
    good = score([TURN], [[("email", 5, 20)]])
    bad = score([TURN], [[("phone", 5, 20)]])
    theirs = {"korean": good}
    assert Report("pii", figures(good, good, theirs, (51, 1), (51, 1))).holds
    assert not Report("pii", figures(good, good, theirs, (49, 1), (99, 1))).holds
    assert not Report("pii", figures(good, good, theirs, (99, 1), (49, 1))).holds
    assert not Report("pii", figures(bad, good, theirs, (51, 1), (51, 1))).holds
    assert not Report("pii", figures(good, bad, theirs, (51, 1), (51, 1))).holds
    assert Score().recall(["email"]) is None
