"""One piece of a version's conversations, from their rows to what is decided of each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from core.conversation import Conversation
from core.decontamination import GatePrompts
from core.duplicates import exact_hash, text_of
from core.examination import Examined, examine
from core.pii import CONTACT, Recogniser, mask_personal
from core.quality import Hints
from core.review import overrule
from core.rules import Finding
from core.sides import Placing, Side, other_units, unit_names, unit_of
from resources import screening_rows as rows_of
from resources.band_rows import BandRows
from resources.near_duplicates import NearDuplicates, Placed
from resources.screening_rows import Decided, Screened, Standing

DUPLICATE = Finding(
    rule="duplicate",
    severity="error",
    where="conversation",
    message="Expected a new pair of question and reply",
)
BOTH_SIDES = Finding(
    rule="both_sides",
    severity="error",
    where="conversation",
    message="It is near conversations on another side than its user or thread: it would leak between the sides",
)
REFUSED = Finding(
    rule="template_refuses",
    severity="error",
    where="messages",
    message="Expected messages that the chat template of the base model takes",
)


class Prepared(NamedTuple):
    """A conversation as it would be trained on, and what is known of it alone; `changed` by masking at some time."""

    seq: int
    conversation: Conversation
    changed: bool
    hash: str
    stored_side: Side | None
    personal: dict[str, int]
    tokens: int | None
    hints: Hints
    overruled: frozenset[str]


class Masked(NamedTuple):
    """A row of ours, its conversation, the same as it would be trained on, and what was masked, by kind."""

    row: Row[Any]
    before: Conversation
    conversation: Conversation
    found: Mapping[str, int]


def mask(row: Row[Any], recognise: Recogniser | None) -> Masked:
    """The conversation of a row without personal data."""
    before = rows_of.own_conversation(row)
    return Masked(row, before, *mask_personal(before, recognise))


def prepare(of: Masked, tokens: int | None) -> Prepared:
    """With the tokens counted, all that is known of a conversation by itself."""
    row, before, masked, found = of
    # retention masks contact data in the store too, and the hash there is of the text as it was captured
    changed = (masked is not before and masked != before) or not CONTACT.isdisjoint(row.personal or ())
    return Prepared(
        seq=row.seq,
        conversation=masked,
        changed=changed,
        hash=exact_hash(masked) if changed else row.hash,
        stored_side=row.side,
        personal={**(row.personal or {}), **found},
        tokens=tokens,
        hints=Hints(row.rating, row.thumb, None, row.released_at is not None),
        overruled=frozenset(row.overruled or ()),
    )


def decide(
    connection: Connection,
    n: int,
    piece: Sequence[Prepared],
    judged: Sequence[Examined],
    standing: Standing,
    threshold: float,
    recognise: Recogniser | None,
) -> Screened:
    """Find what is alike, and place on sides; what it learns of near-duplicates it writes, all else it returns."""
    judged = _without_duplicates(connection, n, piece, judged)
    good = [one for one, examined in zip(piece, judged, strict=True) if examined.accepted]
    near = NearDuplicates(BandRows(connection), partial(_texts, connection, recognise), threshold)
    alike = near.place([(one.seq, text_of(one.conversation)) for one in good])
    placing, sides = _place(connection, good, alike, standing)
    decided = [
        _decided(one, examined, alike.get(one.seq), sides.get(one.seq))
        for one, examined in zip(piece, judged, strict=True)
    ]
    return Screened(decided, placing.new_units, Standing(standing.users, placing.rank))


def judge(one: Prepared, max_tokens: int, gate: GatePrompts) -> Examined:
    """What the rules say, softened where a person overruled them."""
    examined = examine(
        one.conversation,
        tokens=one.tokens,
        max_tokens=max_tokens,
        personal=one.personal,
        contamination=gate,
        hints=one.hints,
    )
    if one.tokens is None and examined.accepted:
        return _with(examined, REFUSED)
    if one.overruled and not examined.accepted:
        return replace(examined, findings=overrule(examined.findings, one.overruled))
    return examined


def _without_duplicates(
    connection: Connection, n: int, piece: Sequence[Prepared], judged: Sequence[Examined]
) -> list[Examined]:
    """The first that passes with a text keeps it, whichever version it is in."""
    changed = [one.hash for one in piece if one.changed]
    taken = rows_of.known_texts(connection, n, changed, [one.hash for one in piece if not one.changed])
    result = []
    for one, examined in zip(piece, judged, strict=True):
        if examined.accepted and one.hash in taken:
            result.append(_with(examined, DUPLICATE))
            continue
        result.append(examined)
        taken.update([one.hash] if examined.accepted else [])
    return result


def _texts(connection: Connection, recognise: Recogniser | None, seqs: Sequence[int]) -> dict[int, str]:
    """Texts of conversations placed earlier, as they were compared then."""
    return {row.seq: text_of(_masked(row, recognise)) for row in rows_of.texts_of(connection, seqs)}


def _masked(row: Row[Any], recognise: Recogniser | None) -> Conversation:
    conversation = rows_of.own_conversation(row)
    return conversation if row.masked_hash is None else mask_personal(conversation, recognise)[0]


def _place(
    connection: Connection, good: Sequence[Prepared], alike: Mapping[int, Placed], standing: Standing
) -> tuple[Placing, dict[int, Side | None]]:
    clusters = _clusters(connection, alike)
    names = (name for one in good for name in unit_names(one.conversation) if name)
    placing = Placing(
        rows_of.unit_sides(connection, names),
        rows_of.cluster_sides(connection, {cluster for found in clusters.values() for cluster in found} - alike.keys()),
        standing.placed,
    )
    sides = {}
    for one in good:
        unit = unit_of(one.conversation, standing.users, placing.units)
        others = other_units(one.conversation, unit, standing.users)
        sides[one.seq] = placing.place(unit, clusters[one.seq], one.stored_side, others)
    return placing, sides


def _clusters(connection: Connection, alike: Mapping[int, Placed]) -> dict[int, list[int]]:
    """Of each conversation its own cluster first, then those it is near as well."""
    others = {seq for found in alike.values() for seq in found.near if seq not in alike}
    known = rows_of.clusters_of(connection, others) | {seq: found.cluster for seq, found in alike.items()}
    return {
        seq: list(dict.fromkeys([found.cluster, *(known[other] for other in found.near if other in known)]))
        for seq, found in alike.items()
    }


def _decided(one: Prepared, examined: Examined, alike: Placed | None, side: Side | None) -> Decided:
    quarantined = alike is not None and side is None
    return Decided(
        seq=one.seq,
        side=side,
        findings=(*examined.findings, BOTH_SIDES) if quarantined else examined.findings,
        cluster=alike.cluster if alike else None,
        tokens=one.tokens,
        language=examined.language,
        quality=examined.quality,
        quality_parts=examined.quality_parts,
        personal=one.personal,
        masked_hash=one.hash if one.changed else None,
    )


def _with(examined: Examined, finding: Finding) -> Examined:
    return replace(examined, findings=(*examined.findings, finding))
