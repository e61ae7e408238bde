"""What is done with an uploaded dataset: looked into, checked, rewritten, split, fetched, ingested."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, JSONResponse, Response

from resources.line_findings import LineFinding
from resources.recognisers import DataRecogniser
from resources.times import moment
from resources.upload_files import UploadFiles, config_name, file_name
from resources.uploads import QualityLog, Upload
from serve.bodies import body_as, documented
from serve.dataset_jobs import DatasetJobs, Finish, StillRunning
from serve.dataset_schema import (
    USUAL_CHECKS,
    DownloadQuery,
    FindingsQuery,
    IngestBody,
    PreprocessQuery,
    SplitBody,
    StatisticsQuery,
    ValidateBody,
)
from serve.datasets_api import PREFIX, number
from serve.error_docs import GUARDED, errors
from serve.errors import ApiError
from serve.limits import IngressLimits
from serve.pages import page_shape
from serve.store_door import StoreDoor

_SHOWN_FINDINGS = 200


@dataclass(frozen=True)
class Work:
    """What work on a file needs beside the file."""

    door: StoreDoor
    files: UploadFiles
    jobs: DatasetJobs
    limits: IngressLimits
    database_url: str = field(repr=False)  # it may hold a password
    base_model: str
    tokenizer: str
    max_tokens: int
    recogniser: DataRecogniser = "none"

    async def file(self, id: int) -> Upload:
        """The dataset; 409 where it is deleted."""
        found = await self.door.ask(lambda store: store.uploads.get(number(id)))
        if found.status == "deleted":
            raise ApiError(409, f"Expected dataset {id} to be there, found it deleted", code="not_allowed")
        return found

    async def run(self, task: str, upload: Upload, finish: Finish | None = None, **more: Any) -> dict[str, Any]:
        """What the worker says; it may take as long as a reply, then the client asks again."""
        key = (task, upload.id, repr(sorted(more.items())))
        job = {"task": task, **job_of(upload, self.files), "recogniser": self.recogniser, **more}
        return await self.jobs.run(key, job, self.limits.reply_seconds, finish)


def job_of(upload: Upload, files: UploadFiles) -> dict[str, Any]:
    """The file as the worker is told of it."""
    return {
        "id": upload.id,
        "path": str(files.data(upload.id, upload.extension)),
        "extension": upload.extension,
        "format": upload.format,
        "mapping": upload.mapping,
        "created_at": upload.created_at.isoformat(),
    }


def dataset_work_routes(work: Work) -> APIRouter:
    every = errors(*GUARDED, 404, 409, 422, 503, 504, 507)
    routes = APIRouter(prefix=PREFIX + "/{id}", tags=["Datasets"], responses=every)

    @routes.get("/statistics")
    async def statistics(id: int, query: Annotated[StatisticsQuery, Query()]) -> Response:
        """Figures with a few masked examples; `count_tokens` counts with the tokenizer of the base model."""
        upload = await work.file(id)
        wanted: dict[str, Any] = {"count_tokens": query.count_tokens, "tokenizer": work.tokenizer}
        return await _told(id, work.run("statistics", upload, **wanted), lambda found: _statistics(upload, found))

    @routes.post("/validate", openapi_extra=documented(ValidateBody))
    async def validate(id: int, request: Request) -> Response:
        """Check every sample; each run is kept. The findings beyond the first are paged by `findings`."""
        body = await body_as(ValidateBody, request, work.limits.body_bytes)
        upload = await work.file(id)
        checks = list(dict.fromkeys(body.checks or USUAL_CHECKS))
        wanted = {"checks": checks, "tokenizer": work.tokenizer, "max_tokens": work.max_tokens}
        return await _told(id, _validated(work, upload, wanted), lambda found: found)

    @routes.get("/findings")
    async def findings(id: int, query: Annotated[FindingsQuery, Query()]) -> dict[str, Any]:
        """What a run of the checks found, in the order of the file; the latest run, or the one named by `log`."""
        size = query.as_page()
        logs = await work.door.ask(lambda store: store.uploads.logs(_known(store.uploads.get(number(id))), 200))
        log = next((one for one in logs if query.log in (None, one.id)), None)
        if log is None:
            message = f"Expected a run of the checks over dataset {id}, found none: POST …/{id}/validate"
            raise ApiError(404, message, code="not_found")
        page = await work.door.ask(
            lambda store: store.uploads.findings(log.id, *size, rule=query.rule, severity=query.severity)
        )
        return {**page_shape(page, _finding), "log": _log(log)}

    @routes.post("/preprocess")
    async def preprocess(id: int, query: Annotated[PreprocessQuery, Query()]) -> Response:
        """Write it masked in another format; 422 for invalid samples, unless they may be skipped."""
        upload = await work.file(id)
        wanted = {**query.model_dump(by_alias=True), "base_model": work.base_model}
        return await _told(id, _preprocessed(work, upload, wanted), lambda found: found)

    @routes.get("/download")
    async def download(id: int, query: Annotated[DownloadQuery, Query()]) -> FileResponse:
        """A file that `preprocess` or `split` made, or the Axolotl config beside it."""
        upload = await work.file(id)
        part = query.part or query.output_format
        name = config_name(upload.id, part) if query.config else file_name(upload.id, part)
        path = work.files.folder(upload.id) / name
        if not await asyncio.to_thread(path.is_file):
            message = f"Expected {name} to have been made, found that it was not: POST …/{id}/preprocess or …/split"
            raise ApiError(404, message, code="not_found")
        return FileResponse(path, filename=name, media_type="application/yaml" if query.config else "application/jsonl")

    @routes.post("/split", openapi_extra=documented(SplitBody))
    async def split(id: int, request: Request) -> Response:
        """Three parts; no user, thread or near-duplicate is in two of them."""
        body = await body_as(SplitBody, request, work.limits.body_bytes)
        upload = await work.file(id)
        return await _told(id, work.run("split", upload, shares=body.model_dump()), lambda found: found)

    @routes.post("/ingest", openapi_extra=documented(IngestBody))
    async def ingest(id: int, request: Request) -> Response:
        """Take its conversations into the loop, once however often this is asked; a golden set is never taken in."""
        body = await body_as(IngestBody, request, work.limits.body_bytes)
        upload = await work.file(id)
        _check_ingestible(upload, body.provenance)
        wanted = {**body.model_dump(), "database_url": work.database_url}
        return await _told(id, work.run("ingest", upload, **wanted), lambda found: {"ingested": found})

    return routes


async def _told(id: int, running: Any, shape: Any) -> Response:
    """The answer, or 202 while the work goes on."""
    try:
        return JSONResponse({"dataset_id": id, **shape(await running)})
    except StillRunning:
        message = "The work goes on: ask for the same again to wait for its end"
        return JSONResponse({"dataset_id": id, "state": "running", "message": message}, 202, {"retry-after": "5"})


async def _validated(work: Work, upload: Upload, wanted: Mapping[str, Any]) -> dict[str, Any]:
    async def keep(found: dict[str, Any]) -> dict[str, Any]:
        findings = [LineFinding(*one) for one in found.pop("findings")]
        log = await work.door.ask(lambda store: store.uploads.log(upload.id, found, findings), 60.0)
        return {**_log(log), "findings": [_finding(one) for one in findings[:_SHOWN_FINDINGS]]}

    return await work.run("validate", upload, keep, **wanted)


async def _preprocessed(work: Work, upload: Upload, wanted: Mapping[str, Any]) -> dict[str, Any]:
    async def note(found: dict[str, Any]) -> dict[str, Any]:
        await work.door.ask(lambda store: store.uploads.change(upload.id, {"status": "preprocessed"}))
        message = f"{found['statistics']['written']} samples were written as {wanted['output_format']}"
        return {"message": message, **found}

    return await work.run("preprocess", upload, note, **wanted)


def _check_ingestible(upload: Upload, provenance: str) -> None:
    if upload.kind == "golden":
        message = f"Expected a training set, found dataset {upload.id} golden: what is measured with is not trained on"
        raise ApiError(409, message, param="kind", code="golden_set")
    before = upload.ingested.get("provenance", provenance)
    if before != provenance:
        message = f"Expected provenance {before}, as dataset {upload.id} was ingested before, found {provenance}"
        raise ApiError(409, message, param="provenance", code="not_allowed")


def _statistics(upload: Upload, found: Mapping[str, Any]) -> dict[str, Any]:
    names = ("total_samples", "avg_instruction_length", "avg_output_length")
    return {"file_path": upload.file_name, "statistics": {**{name: upload.stats.get(name) for name in names}, **found}}


def _finding(finding: LineFinding) -> dict[str, Any]:
    return dict(vars(finding))


def _log(log: QualityLog) -> dict[str, Any]:
    return {
        "is_valid": log.is_valid,
        "quality_score": log.quality_score,
        "total": log.total,
        "valid": log.valid,
        "pii": log.pii,
        "duplicates": log.duplicates,
        "reasons": log.reasons,
        "checks": log.checks,
        "rules_version": log.rules_version,
        "log": log.id,
        "created_at": moment(log.created_at),
    }


def _known(upload: Upload) -> int:
    return upload.id
