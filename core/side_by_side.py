"""Two versions beside each other on what both were measured on, whatever each was compared with when it was judged."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from core.gate_answers import answer_checks
from core.gate_losses import Question, better, not_worse
from core.gate_measures import overlap_check
from core.verdict import Answered, Check, Evaluation, GateThresholds, Overlap, PairedLoss, Shown


class _OfConversation(Protocol):
    @property
    def conversation_id(self) -> str: ...


class _OfProbe(Protocol):
    @property
    def probe(self) -> str: ...


One = TypeVar("One", bound=_OfConversation)
Asked = TypeVar("Asked", bound=_OfProbe)


def side_by_side(one: Evaluation, other: Evaluation) -> Evaluation:
    """What was measured of `one` as candidate and of `other` as champion, where both were; ValueError for two bases.

    A conversation that grew or shrank in between, as by masking, is left out: its losses are of different texts.
    """
    if one.base_fingerprint != other.base_fingerprint:
        raise ValueError(
            f"Expected versions of one base, found v{one.version} of {one.base_fingerprint} and v{other.version} of "
            f"{other.base_fingerprint}: compare those of one base"
        )
    return Evaluation(
        version=one.version,
        base_fingerprint=one.base_fingerprint,
        champion=other.version,
        held_out=_losses(one.held_out, other.held_out),
        general=_losses(one.general, other.general),
        sanity=one.sanity,
        answers=tuple(
            Answered(**{**dict(mine), "champion": theirs.candidate})
            for mine, theirs in _both(one.answers, other.answers)
        ),
        overlaps=tuple(
            Overlap(
                **{
                    **dict(mine),
                    "champion": theirs.candidate,
                    "champion_bleu": theirs.candidate_bleu,
                    "champion_f1": theirs.candidate_f1,
                }
            )
            for mine, theirs in _of_both(one.overlaps, other.overlaps)
        ),
        golden=_losses(one.golden or (), other.golden or ()) or None,
        shown=tuple(
            Shown(**{**dict(mine), "champion": theirs.candidate}) for mine, theirs in _both(one.shown, other.shown)
        ),
    )


def checks_between(joined: Evaluation, thresholds: GateThresholds) -> tuple[Check, ...]:
    """The gate's questions that two versions can be asked about each other; what cannot be measured is left out."""
    champion = joined.champion

    def question(where: str, pairs: Sequence[PairedLoss]) -> Question:
        return Question(joined, thresholds, pairs, where, champion)

    golden = question("golden", joined.golden or ())
    asked = (
        better("held_out_loss_vs_champion", question("held-out", joined.held_out), thresholds.alpha),
        not_worse("general_non_inferiority", question("general", joined.general), thresholds.general_margin),
        not_worse("golden_non_inferiority", golden, thresholds.golden_margin),
        *(check for check in answer_checks(joined, thresholds) if check.statistic == "paired_newcombe"),
        overlap_check("reference_overlap", "held-out", joined.overlaps, joined, thresholds),
    )
    return tuple(check for check in asked if check.estimate is not None)


def _losses(mine: Sequence[PairedLoss], theirs: Sequence[PairedLoss]) -> tuple[PairedLoss, ...]:
    return tuple(
        PairedLoss(**{**dict(one), "champion": other.candidate})
        for one, other in _of_both(mine, theirs)
        if one.tokens == other.tokens
    )


def _of_both(mine: Sequence[One], theirs: Sequence[One]) -> list[tuple[One, One]]:
    known = {one.conversation_id: one for one in theirs}
    return [(one, known[one.conversation_id]) for one in mine if one.conversation_id in known]


def _both(mine: Sequence[Asked], theirs: Sequence[Asked]) -> list[tuple[Asked, Asked]]:
    known = {one.probe: one for one in theirs}
    return [(one, known[one.probe]) for one in mine if one.probe in known]
