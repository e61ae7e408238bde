"""Datasets that a person uploads: received, listed, described, deleted."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from resources.file_names import NameRefused, kind_of
from resources.store import Store
from resources.times import moment
from resources.upload_files import Staged, UploadFiles
from resources.uploads import Upload
from serve.bodies import body_as, documented, validated
from serve.dataset_jobs import DatasetJobs
from serve.dataset_schema import EXTENSIONS, DatasetPatch, DatasetsQuery, UploadParts
from serve.error_docs import GUARDED, errors
from serve.errors import ApiError
from serve.limits import Gate, IngressLimits
from serve.pages import page_shape
from serve.store_door import StoreDoor
from serve.uploading import FILE_PART, receive

PREFIX = "/api/v1/admin/training/datasets"
_FIELDS = frozenset(UploadParts.model_fields)
_COMMIT_SECONDS = 60.0  # beyond this the file would be taken away under a row that may yet come


def dataset_routes(door: StoreDoor, limits: IngressLimits, files: UploadFiles, jobs: DatasetJobs) -> APIRouter:
    routes = APIRouter(prefix=PREFIX, tags=["Datasets"], responses=errors(*GUARDED, 404, 409, 422, 503))
    receiving = Gate("uploads", limits.uploads)

    @routes.post("", status_code=201, openapi_extra=_UPLOAD_BODY, responses=errors(400, 408, 413, 415, 504, 507))
    async def upload(request: Request) -> Response:
        """Keep a file of conversations: multipart, the file as the part `file`, its description in short parts."""
        with (
            receiving.place(),
            await asyncio.to_thread(files.stage, _announced(request, limits.upload_bytes)) as staged,
        ):
            received = await receive(
                request,
                staged,
                fields=_FIELDS,
                check_name=extension_of,
                limit=limits.upload_bytes,
                seconds=limits.upload_seconds,
            )
            parts = validated(UploadParts, received.fields)
            values = _values(parts, received.file_name or "", staged)
            values.update(await jobs.run(staged.path, _inspection(values, staged, parts.skip_invalid)))
            made = await _committed(door, files, staged, values)
        return JSONResponse(dataset_row(made), 201)

    @routes.get("")
    async def datasets(query: Annotated[DatasetsQuery, Query()]) -> dict[str, Any]:
        """Uploaded datasets, newest first; each of `tags` must be there, deleted ones are shown by `status=deleted`."""
        at, size = query.as_page()
        tags = [tag.strip() for tag in (query.tags or "").split(",") if tag.strip()]
        page = await door.ask(
            lambda store: store.uploads.page(
                at, size, status=query.status, search=query.search, tags=tags, kind=query.kind
            )
        )
        return page_shape(page, dataset_row)

    @routes.get("/{id}")
    async def dataset(id: int) -> dict[str, Any]:
        """One of them; a deleted one says so in its status."""
        return dataset_row(await door.ask(lambda store: store.uploads.get(number(id))))

    @routes.patch("/{id}", openapi_extra=documented(DatasetPatch))
    async def change(id: int, request: Request) -> dict[str, Any]:
        """Change its description."""
        body = await body_as(DatasetPatch, request, limits.body_bytes)
        wanted = body.model_dump(exclude_none=True)
        if not wanted:
            raise ApiError(422, "the body: expected something to change, found nothing", code="invalid_value")
        return dataset_row(await door.ask(lambda store: store.uploads.change(number(id), wanted)))

    @routes.delete("/{id}", status_code=204)
    async def delete(id: int) -> Response:
        """The file goes, its description and the log of its checks stay; what was ingested from it stays too."""
        await door.ask(lambda store: store.uploads.delete(number(id)))
        await asyncio.to_thread(files.remove, id)
        return Response(status_code=204)

    @routes.get("/{id}/stats")
    async def stats(id: int) -> dict[str, Any]:
        """The figures that are stored with it."""
        found = await door.ask(lambda store: store.uploads.get(number(id)))
        return {"dataset_id": found.id, **_figures(found), "quality_score": found.quality_score, **found.stats}

    return routes


async def _committed(door: StoreDoor, files: UploadFiles, staged: Staged, values: dict[str, Any]) -> Upload:
    """Row and file; who stops waiting for them in the middle takes neither back."""

    def commit(store: Store) -> Upload:
        made = store.uploads.add(values, lambda id: files.place(staged, id, values["extension"]))
        staged.kept = True
        return made

    committing = asyncio.ensure_future(door.ask(commit, _COMMIT_SECONDS))
    try:
        return await asyncio.shield(committing)
    except asyncio.CancelledError:
        await asyncio.wait({committing})
        raise


def dataset_row(upload: Upload) -> dict[str, Any]:
    """A dataset as the API shows it."""
    return {
        "id": upload.id,
        "name": upload.name,
        "version": upload.version,
        "format": upload.format,
        "status": upload.status,
        **_figures(upload),
        "quality_score": upload.quality_score,
        "tags": upload.tags,
        "dataset_metadata": upload.dataset_metadata,
        "created_at": moment(upload.created_at),
        "updated_at": moment(upload.updated_at),
        "kind": upload.kind,
        "file_name": upload.file_name,
        "size_bytes": upload.size_bytes,
        "sha256": upload.sha256,
        "mapping": upload.mapping,
        "ingested": upload.ingested or None,
        "invalid_samples": upload.stats.get("invalid_samples"),
    }


def _figures(upload: Upload) -> dict[str, Any]:
    names = ("total_samples", "avg_instruction_length", "avg_output_length")
    return {name: upload.stats.get(name) for name in names}


def _values(parts: UploadParts, file_name: str, staged: Staged) -> dict[str, Any]:
    """The row of a received file, without what only reading it can tell."""
    return {
        **parts.model_dump(exclude={"skip_invalid"}),
        "mapping": parts.mapping.model_dump(exclude_unset=True),
        "file_name": file_name,
        "extension": extension_of(file_name),
        "size_bytes": staged.size,
        "sha256": staged.sha256,
        "stats": {},
    }


def _inspection(values: Mapping[str, Any], staged: Staged, skip_invalid: bool) -> dict[str, Any]:
    """All of a new file is read once, before any row speaks of it."""
    of_the_file = {name: values[name] for name in ("extension", "format", "mapping")}
    where = {"id": 0, "path": str(staged.path), "created_at": datetime.now(UTC).isoformat()}
    return {"task": "inspect", **of_the_file, **where, "skip_invalid": skip_invalid}


def extension_of(file_name: str) -> str:
    """`jsonl`, `csv.gz` and so on; what else a name ends with is refused."""
    try:
        kind, compressed = kind_of(file_name)
    except NameRefused as refused:
        message = f"{FILE_PART}: {refused}"
        raise ApiError(422, message, param=FILE_PART, code="unknown_extension") from None
    return kind + (".gz" if compressed else "")


def number(id: int) -> int:
    """A number that a database can look for."""
    return id if 0 < id < 2**63 else 0


def _announced(request: Request, most: int) -> int:
    """Bytes to have room for; who does not say how many may send as many as are allowed."""
    announced = request.headers.get("content-length", "")
    return int(announced) if announced.isdecimal() and len(announced) < 19 else most


_PART: dict[str, Any] = {"type": "string"}
_UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FILE_PART, "name", "version"],
                    "properties": {
                        FILE_PART: {"type": "string", "format": "binary", "description": ", ".join(EXTENSIONS)},
                        **{name: {**_PART, "description": text} for name, text in (
                            ("name", "1 to 255 characters"),
                            ("version", "letters, dot, dash, underscore and at least a digit; new for the name"),
                            ("format", "auto (default), messages, sharegpt, alpaca or prompt_completion"),
                            ("kind", "training (default) or golden: one to evaluate with, never ingested"),
                            ("skip_invalid", "true: keep the good lines of a file that has bad ones"),
                            ("tags", "a,b or a JSON list"),
                            ("dataset_metadata", "a JSON object"),
                            ("mapping", "a JSON object: the format's column -> the file's"),
                        )},
                    },
                }
            }
        },
    }
}  # fmt: skip
