"""What screening found in a version, counted by the database."""

from collections import Counter

from sqlalchemy import Connection, Text, cast, func, select

from resources.tables import conversations

MASKED = "masked."

_c = conversations.c


def of_version(connection: Connection, n: int) -> tuple[dict[str, int], dict[str, int]]:
    """Counts of the version, and of the reasons why conversations were rejected, each once for each conversation.

    `masked.KIND` says in how many conversations personal data of that kind was masked.
    """
    mine = _c.version == n
    claimed = connection.execute(select(func.count()).where(mine)).scalar_one()
    rejected = connection.execute(select(func.count()).where(mine, _c.rejected)).scalar_one()
    reasons: Counter[str] = Counter()
    warned = 0
    with_findings = select(_c.findings, _c.rejected).where(mine, func.length(cast(_c.findings, Text)) > len("[]"))
    for row in connection.execute(with_findings):
        reasons.update({finding["rule"] for finding in row.findings if finding["severity"] == "error"})
        warned += not row.rejected
    counts = {"claimed": claimed, "accepted": claimed - rejected, "rejected": rejected, "with_warnings": warned}
    counts |= {f"{MASKED}{kind}": number for kind, number in sorted(_masked(connection, n).items())}
    return counts, dict(sorted(reasons.items()))


def _masked(connection: Connection, n: int) -> Counter[str]:
    kinds: Counter[str] = Counter()
    with_some = cast(_c.personal, Text).like("{_%}")
    for row in connection.execute(select(_c.personal).where(_c.version == n, _c.personal.is_not(None), with_some)):
        kinds.update(row.personal.keys())
    return kinds


def origins(connection: Connection, n: int) -> list[tuple[str, str, int]]:
    """Source and provenance of the conversations of a version, and how many, most first."""
    number = func.count()
    query = select(_c.source, _c.provenance, number).where(_c.version == n).group_by(_c.source, _c.provenance)
    return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(number.desc(), _c.source))]
