"""How a version ends: concluded by its verdict, failed, or given up; each in one transaction."""

from types import EllipsisType
from typing import Any

from sqlalchemy import Connection, Row, select, update

from core.error_classes import advice
from core.verdict import Verdict
from resources.champions import champion_row, model_name, move_champion
from resources.event_rows import write_event
from resources.experiment_rows import hold_back
from resources.screening_rows import NOT_SCREENED
from resources.setting_store import pause
from resources.store_errors import NotAllowed
from resources.tables import conversations, pauses, utc_now, versions
from resources.version_rows import OUT_OF_MEMORY, State

REJECTIONS_THAT_PAUSE = 2


def conclude_version(
    connection: Connection,
    row: Row[Any],
    mlflow_version: str | None,
    override_reason: str | None,
    compared_with: int | EllipsisType | None = ...,
) -> None:
    """trained to promoted, with the champion, or to rejected; two rejections in a row pause."""
    if row.verdict is None:
        raise NotAllowed(f"Expected a verdict of v{row.n} before it is concluded, found none: judge it first")
    verdict = Verdict.model_validate_json(row.verdict)
    promoted = verdict.promoted or override_reason is not None
    if promoted and row.method == "full":
        raise NotAllowed(f"Expected an adapter to promote, found that v{row.n} is a whole model: set BASE_MODEL to it")
    if promoted and compared_with is not ...:
        _check_compared(connection, row, compared_with)
    _end(
        connection,
        row,
        "promoted" if promoted else "rejected",
        mlflow_version=mlflow_version,
        override_reason=override_reason,
        error=None,
        error_class=None,
    )
    data = {"reasons": list(verdict.reasons), "override_reason": override_reason}
    done = "is trained and judged" if row.adapter_sha256 else "is judged untrained"
    write_event(connection, "run_completed", f"v{row.n} {done}", row.n)
    if promoted:
        _promote(connection, row, _why(verdict, override_reason), data)
        return
    write_event(connection, "rejected", f"v{row.n} is rejected: {_why(verdict, None)}", row.n, data)
    _pause_after_rejections(connection, row.base_fingerprint)


def _promote(connection: Connection, row: Row[Any], why: str, data: dict[str, Any]) -> None:
    """Champion at once; at the end of a running experiment, whose traffic it would disturb."""
    champion = champion_row(connection, row.base_fingerprint)
    experiment = hold_back(connection, row.base_fingerprint, row.n, champion.n if champion else None)
    if experiment is not None:
        message = f"v{row.n} passed its gate and waits at staging until the experiment {experiment} ends: {why}"
        write_event(connection, "staged", message, row.n, data)
        return
    overruled = data["override_reason"]
    move_champion(connection, row.base_fingerprint, row.n, overruled or why, "the gate", override=overruled is not None)
    write_event(connection, "promoted", f"v{row.n} is promoted: {why}", row.n, data)


def fail_attempt(connection: Connection, row: Row[Any], error_class: str, message: str) -> None:
    """The sensor tries again; after an attempt at training that ran out of memory, with rows of half the length."""
    counted = dict(row.training)
    if error_class == "OUT_OF_MEMORY" and row.state == "open":
        counted[OUT_OF_MEMORY] = int(counted.get(OUT_OF_MEMORY, 0)) + 1
    values = {"released": True, "error_class": error_class, "error": message, "training": counted}
    connection.execute(update(versions).where(versions.c.n == row.n).values(**values))
    data = {"attempt": row.attempts, "error_class": error_class, "advice": advice(error_class, row.n)}
    write_event(connection, "attempt_failed", f"v{row.n}, attempt {row.attempts}: {message}", row.n, data)


def fail_version(connection: Connection, row: Row[Any], error_class: str, message: str) -> None:
    """No attempt is left: its conversations wait again, and automatic training waits for a person."""
    _end(connection, row, "failed", error_class=error_class, error=message)
    waiting = _give_rows_back(connection, row.n)
    what_to_do = advice(error_class, row.n)
    text = f"v{row.n} failed after {row.attempts} attempts ({error_class}): {message}. What to do: {what_to_do}"
    data = {"error_class": error_class, "advice": what_to_do, "waiting_again": waiting}
    write_event(connection, "run_failed", text, row.n, data)
    pause(connection, f"{model_name(row.n)} failed after {row.attempts} attempts ({error_class})")


def abandon_version(connection: Connection, row: Row[Any], reason: str) -> None:
    _end(connection, row, "abandoned", error=reason)
    waiting = _give_rows_back(connection, row.n)
    write_event(connection, "abandoned", f"v{row.n} is given up: {reason}", row.n, {"waiting_again": waiting})


def _check_compared(connection: Connection, row: Row[Any], compared_with: int | None) -> None:
    champion = champion_row(connection, row.base_fingerprint)
    now = champion.n if champion else None
    if now != compared_with:
        raise NotAllowed(
            f"Expected {model_name(compared_with)}, with which v{row.n} was compared, to answer still, "
            f"found {model_name(now)}: evaluate again"
        )


def _end(connection: Connection, row: Row[Any], state: State, **values: Any) -> None:
    ended = {"state": state, "in_flight": None, "released": True, "finished_at": utc_now(), "stage": None}
    connection.execute(update(versions).where(versions.c.n == row.n).values(**ended, **values))


def _give_rows_back(connection: Connection, n: int) -> int:
    """Sides stay: a conversation once held out is never trained on."""
    rows = update(conversations).where(conversations.c.version == n)
    return connection.execute(rows.values(version=None, **NOT_SCREENED)).rowcount


def _pause_after_rejections(connection: Connection, lineage: str) -> None:
    last_pause = connection.execute(select(pauses.c.after_version).order_by(pauses.c.id.desc())).scalars().first()
    recent = connection.execute(
        select(versions.c.n, versions.c.state)
        .where(versions.c.state.in_(["promoted", "rejected"]), versions.c.base_fingerprint == lineage)
        .where(versions.c.n > (last_pause or 0))
        .order_by(versions.c.n.desc())
        .limit(REJECTIONS_THAT_PAUSE)
    ).all()
    if len(recent) == REJECTIONS_THAT_PAUSE and all(row.state == "rejected" for row in recent):
        names = " and ".join(model_name(row.n) for row in reversed(recent))
        pause(connection, f"{names} were rejected in a row")


def _why(verdict: Verdict, override_reason: str | None) -> str:
    return f"overridden, {override_reason}" if override_reason is not None else "; ".join(verdict.reasons)
