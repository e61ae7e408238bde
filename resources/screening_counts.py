"""What screening found in a version, counted by the database."""

from collections import Counter

from sqlalchemy import Connection, Text, cast, func, select

from resources.tables import conversations

_c = conversations.c


def of_version(connection: Connection, n: int) -> tuple[dict[str, int], dict[str, int]]:
    """Counts of the version, and of the reasons why conversations were rejected, each once for each conversation."""
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
    return counts, dict(sorted(reasons.items()))
