"""A version seen as a model: its status, its names, and a page of many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, String, and_, case, cast, func, literal, or_, select

from resources.champions import champion_row
from resources.conversations import Page
from resources.store_errors import NotFound
from resources.tables import model_tags, models, pins, versions
from resources.text_search import contains
from resources.version_rows import State

Status = Literal["staging", "production", "archived"]

_v, _m = versions.c, models.c
_COLUMNS = (_v.n, _v.state, _v.base_fingerprint, _v.method, _v.parent, _v.dataset_hash, _v.adapter_sha256,
            _v.mlflow_run_id, _v.mlflow_version, _v.override_reason, _v.created_at, _v.finished_at, _m.model_name,
            _m.version, _m.base_model, _m.registered_at)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """`model_name` and what follows it is what a person registered; None and no tags where nobody did."""

    n: int
    state: State
    status: Status
    base_fingerprint: str
    method: str
    parent: int | None
    dataset_hash: str | None
    adapter_sha256: str
    mlflow_run_id: str | None
    mlflow_version: str | None
    override_reason: str | None
    created_at: datetime
    finished_at: datetime | None
    model_name: str | None
    version: str | None
    base_model: str | None
    registered_at: datetime | None
    pinned: bool
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """Which models a page shows; `unnamed` is what those are called that nobody registered."""

    unnamed: str
    status: Status | None = None
    base_model: str | None = None
    base_fingerprints: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    match_all: bool = False
    search: str | None = None


def model_row(connection: Connection, lineage: str, n: int) -> Model:
    """NotFound where there is no version n, or none with an adapter that is done."""
    query = _query(_status(connection, lineage)).where(_v.n == n)
    row = connection.execute(query).first()
    if row is not None:
        return _models(connection, [row])[0]
    state = connection.execute(select(_v.state).where(_v.n == n)).scalar_one_or_none()
    if state is None:
        raise NotFound(f"Expected a model {n}, found none: GET /api/v1/admin/models lists them")
    raise NotFound(f"Expected a model {n}, found v{n} {state} without a finished adapter: a model begins once trained")


def model_rows(connection: Connection, lineage: str, ns: Sequence[int]) -> list[Model]:
    """In the order asked; NotFound names the first that is none."""
    rows = connection.execute(_query(_status(connection, lineage)).where(_v.n.in_(ns))).all()
    found = {model.n: model for model in _models(connection, rows)}
    return [found[n] if n in found else model_row(connection, lineage, n) for n in ns]


def models_page(connection: Connection, lineage: str, wanted: Wanted, page: int, size: int) -> Page[Model]:
    """Newest first, pages from 1; four questions whatever its size."""
    status = _status(connection, lineage)
    filters = _filters(wanted, status)
    rows = connection.execute(page_query(status, filters, page, size)).all()
    total = connection.execute(count_query(filters)).scalar_one()
    return Page(_models(connection, rows), page, size, int(total))


def page_query(status: ColumnElement[str], filters: Sequence[ColumnElement[bool]], page: int, size: int) -> Select[Any]:
    query = _query(status).where(*filters).order_by(_v.n.desc())
    return query.limit(size).offset((page - 1) * size)


def count_query(filters: Sequence[ColumnElement[bool]]) -> Select[Any]:
    joined = versions.outerjoin(models, _m.n == _v.n) if filters else versions
    return select(func.count()).select_from(joined).where(_is_model(), *filters)


def status_of(champion: int | None, lineage: str) -> ColumnElement[str]:
    """The status as the database says it; what is of another base than the one served can only be archived."""
    waits = or_(_v.state == "trained", and_(_v.state == "promoted", _v.archived_at.is_(None)))
    ours = _v.base_fingerprint == lineage
    return case(
        (and_(ours, _v.n == (champion or 0)), literal("production")),
        (and_(ours, waits), literal("staging")),
        else_=literal("archived"),
    )


def _status(connection: Connection, lineage: str) -> ColumnElement[str]:
    champion = champion_row(connection, lineage)
    return status_of(champion.n if champion else None, lineage)


def _query(status: ColumnElement[str]) -> Select[Any]:
    joined = versions.outerjoin(models, _m.n == _v.n).outerjoin(pins, pins.c.n == _v.n)
    pinned = pins.c.n.is_not(None).label("pinned")
    return select(*_COLUMNS, status.label("status"), pinned).select_from(joined).where(_is_model())


def _is_model() -> ColumnElement[bool]:
    return and_(_v.adapter_sha256.is_not(None), _v.state.in_(["trained", "promoted", "rejected"]))


def _filters(wanted: Wanted, status: ColumnElement[str]) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = [status == wanted.status] if wanted.status else []
    if wanted.base_model:
        filters.append(or_(_m.base_model == wanted.base_model, _v.base_fingerprint.in_(wanted.base_fingerprints)))
    if wanted.tags:
        filters.append(_tagged(wanted.tags, match_all=wanted.match_all))
    if wanted.search:
        native = literal("v").concat(cast(_v.n, String))
        named = (func.coalesce(_m.model_name, wanted.unnamed), func.coalesce(_m.version, native), native)
        filters.append(or_(*(contains(column, wanted.search) for column in named)))
    return filters


def _tagged(tags: Sequence[str], *, match_all: bool) -> ColumnElement[bool]:
    tagged = select(model_tags.c.n).where(model_tags.c.tag.in_(tags)).group_by(model_tags.c.n)
    return _v.n.in_(tagged.having(func.count() == len(tags)) if match_all else tagged)


def _models(connection: Connection, rows: Sequence[Row[Any]]) -> list[Model]:
    tags: dict[int, list[str]] = {row.n: [] for row in rows}
    query = select(model_tags).where(model_tags.c.n.in_(list(tags))).order_by(model_tags.c.tag)
    for row in connection.execute(query) if tags else ():
        tags[row.n].append(row.tag)
    return [Model(**{**row._mapping, "tags": tuple(tags[row.n])}) for row in rows]
