"""Doubles of what tests leave out: small, in memory, scripted."""

import asyncio
import json
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Future
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from core.conversation import Conversation
from core.gate import ArtifactSanity, Evaluation, PairedLoss
from core.manifest import Manifest
from resources import adapters, datasets, folders, upload_worker
from resources.conversations import Captured
from resources.mlflow_store import MlflowUnavailable
from resources.progress import Progress
from resources.registry import Registry
from resources.store import Store
from resources.tracking import RunStatus, Tracking
from resources.trainer import Stage, Trainer
from resources.versions import Claim
from serve.champion_follower import Swaps, UnknownModel
from serve.engine_client import Body, Item
from tests.core.examples import measured


class FakeEngine:
    """Says its words, one a chunk; `pause_after` stops it before that word (-1: the head of a stream) until `go_on`."""

    def __init__(self, words: Sequence[str] = ("Check", " the", " cable."), finish: str = "stop") -> None:
        self.words, self.finish = words, finish
        self.asked: list[Body] = []
        self.closed = 0
        self.raises: Exception | None = None
        self.head: dict[str, Any] | None = None
        self.breaks_after: int | None = None
        self.pause_after: int | None = None
        self.paused, self.go_on, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.is_ready = True

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        self.asked.append(body)
        if self.raises:
            raise self.raises
        try:
            if self.head:
                yield self.head
                return
            if body["stream"]:
                await self._pause(-1)
                yield {"status": 200}
                async for item in self._chunks(body):
                    yield item
                return
            await self._pause(0)
            message = {"role": "assistant", "content": "".join(self.words)}
            yield {"status": 200, "json": self._answer(body, "message", message, self.finish)}
        finally:
            self.closed += 1
            self.ended.set()

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        return {"loaded": False, "seconds": 0.0}

    async def loaded(self) -> list[str]:
        return []

    async def ready(self) -> dict[str, Any]:
        if not self.is_ready:
            raise self.raises or RuntimeError("not ready")
        return {"model": "fake", "lineage": "fake", "max_model_len": 2048}

    async def _chunks(self, body: Body) -> AsyncGenerator[str, None]:
        yield self._event(body, {"role": "assistant", "content": ""})
        for position, word in enumerate(self.words):
            if position == self.breaks_after:
                raise RuntimeError("the engine died")
            await self._pause(position)
            yield self._event(body, {"content": word})
        yield self._event(body, {}, self.finish) + "data: [DONE]\n\n"

    async def _pause(self, position: int) -> None:
        if position == self.pause_after:
            self.paused.set()
            await self.go_on.wait()

    def _event(self, body: Body, delta: dict[str, Any], finish: str | None = None) -> str:
        return f"data: {json.dumps(self._answer(body, 'delta', delta, finish))}\n\n"

    def _answer(self, body: Body, kind: str, said: dict[str, Any], finish: str | None) -> dict[str, Any]:
        whole = kind == "message"
        return {
            "id": "chatcmpl-engine",
            "object": "chat.completion" if whole else "chat.completion.chunk",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, kind: said, "finish_reason": finish}],
            **({"usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}} if whole else {}),
        }


class FakeFollower:
    """A champion that tests move by assignment."""

    def __init__(self, current: str = "base", versions: Sequence[str] = ()) -> None:
        self.current, self.versions, self.swaps = current, versions, Swaps()

    async def resolve(self, model: str) -> str:
        if model == "production":
            return self.current
        if model in self.names():
            return model
        raise UnknownModel(f"Expected one of {', '.join(self.names())}, found {model!r}.")

    def names(self) -> list[str]:
        return ["production", "base", *self.versions]

    def when_back(self, tell: Callable[[], None]) -> None:
        self.tell_back = tell


class FakeWriter:
    """A capture writer that refuses with `error`, or without one never answers."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.submitted: list[Conversation] = []

    @property
    def waiting(self) -> int:
        return len(self.submitted)

    def submit(self, conversation: Conversation) -> Future[Captured]:
        self.submitted.append(conversation)
        answer: Future[Captured] = Future()
        if self.error:
            answer.set_exception(self.error)
        return answer


async def work_in_a_thread(job: Mapping[str, Any]) -> dict[str, Any]:
    """What the worker process does with a job, without its start."""
    return json.loads(json.dumps(await asyncio.to_thread(upload_worker.answer, job)))  # type: ignore[no-any-return]


class FakeTokenizer:
    """One token a word of the rendered chat; the special token ends a turn."""

    all_special_ids: Sequence[int] = (1,)

    def apply_chat_template(self, conversation: list[dict[str, str]], /, **options: Any) -> Any:
        text = " ".join(f"<{turn['role']}> {turn['content']} <end>" for turn in conversation)
        text += " <assistant>" if options.get("add_generation_prompt") else ""
        return self.encode(text) if options.get("tokenize", True) else text

    def encode(self, text: str, /, **options: Any) -> list[int]:
        return [1 if word == "<end>" else 2 + zlib.crc32(word.encode()) % 1000 for word in text.split()]

    def encode_batch(self, texts: Sequence[str], /) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def special_tokens(self) -> dict[str, int]:
        return {"<end>": 1}


class FakeTrainer(Trainer):
    """Publishes a tiny adapter and losses `gain` below the base; `raises` is thrown once, before anything is done."""

    def __init__(self, store: Store, state_dir: Path, gain: float = 0.5) -> None:
        self.store, self.state_dir, self.gain = store, state_dir, gain
        self.ran: list[tuple[str, int]] = []
        self.raises: BaseException | None = None

    def run(self, stage: Stage, claim: Claim, on_progress: Callable[[Progress], None] = lambda progress: None) -> None:
        self.ran.append((stage, claim.n))
        raised, self.raises = self.raises, None
        if raised:
            raise raised
        self._train(claim, on_progress) if stage == "train" else self._evaluate(claim)

    def _train(self, claim: Claim, on_progress: Callable[[Progress], None]) -> None:
        for step in range(1, 11):
            progress = Progress(step, 10, 3.0 - step / 10, 1e-4, 900.0, 10.0 - step, "training")
            self.store.progress.write(claim, progress)
            on_progress(progress)
        version = self.store.versions.get(claim.n)
        staging = self.state_dir / "adapters" / f"v{claim.n}.tmp"
        staging.mkdir(parents=True)
        names = ("lora_A", "lora_B")
        tensors = {f"m.q_proj.{name}.weight": np.ones((2, 2), dtype=np.float32) for name in names}
        save_file(tensors, staging / adapters.WEIGHTS)
        config = {"peft_type": "LORA", "r": 2, "bias": "none", "target_modules": ["q_proj"]}
        (staging / adapters.CONFIG).write_text(json.dumps(config), encoding="utf-8")
        manifest = Manifest(
            kind="adapter",
            version=claim.n,
            files=folders.hashes(staging),
            base_fingerprint=version.base_fingerprint,
            dataset_hash=version.dataset_hash,
            recipe={"rank": 2, "epochs": 1},
            counts={"steps": 10},
            details={"loss": "2.0"},
        )
        adapters.publish(staging, self.state_dir / "adapters" / f"v{claim.n}", manifest)

    def _evaluate(self, claim: Claim) -> None:
        folder = self.state_dir / "datasets" / f"v{claim.n}"
        units = datasets.read_units(folder)
        held_out = [c.id for c in datasets.read_held_out(folder)]
        champion = self.store.champion.get().n
        evaluation = Evaluation(
            version=claim.n,
            base_fingerprint=self.store.versions.get(claim.n).base_fingerprint,
            champion=champion,
            held_out=self._pairs({name: units[name] for name in held_out}, self.gain, champion),
            general=self._pairs({f"g{n}": f"g{n}" for n in range(20)}, 0.01, champion),
            sanity=ArtifactSanity(finite=True, changed=True, right_base=True),
            **measured(champion is not None),
        )
        report = self.state_dir / "reports" / f"v{claim.n}"
        folders.write_whole(report / "evaluation.json", evaluation.model_dump_json())

    def _pairs(self, units: Mapping[str, str], gain: float, champion: int | None) -> tuple[PairedLoss, ...]:
        return tuple(
            PairedLoss(
                conversation_id=name,
                unit=unit,
                tokens=9,
                base=3.0,
                candidate=3.0 - gain - spread,
                champion=None if champion is None else 3.0,
            )
            for (name, unit), spread in zip(sorted(units.items()), cycle((0.001, 0.002, 0.003)), strict=False)
        )


class FakeTracking(Tracking):
    """MLflow runs as a dictionary; `away` makes every call fail."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.away = False

    def open_run(self, context: Any, name: str, run_id: str | None, tags: Mapping[str, str], *, create: bool) -> str:
        self._demand()
        opened = run_id if run_id in self.runs else f"run-{len(self.runs) + 1}"
        assert opened, "an id"
        known = self.runs.setdefault(opened, {"steps": set(), "artifacts": [], "metrics": {}})
        known.update(name=name, tags={**known.get("tags", {}), **tags}, status="RUNNING")
        return opened

    def log_training(self, run_id: str, params: Mapping[str, Any], curve: Sequence[Progress]) -> None:
        self._demand()
        self.runs[run_id]["params"] = dict(params)
        self.runs[run_id]["steps"] |= {report.step for report in curve}

    def log_figures(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        self._demand()
        self.runs[run_id]["metrics"].update(metrics)
        self.runs[run_id]["tags"].update(tags)

    def log_folder(self, run_id: str, folder: Path, name: str) -> None:
        self._demand()
        self.runs[run_id]["artifacts"] += sorted(f"{name}/{path.name}" for path in folder.iterdir())

    def end(self, run_id: str, status: RunStatus) -> None:
        self._demand()
        self.runs[run_id]["status"] = status

    def run_url(self, run_id: str) -> str:
        self._demand()
        return f"http://mlflow/runs/{run_id}"

    def artifact_url(self, run_id: str, path: str) -> str:
        return f"{self.run_url(run_id)}/artifacts/{path}"

    def model_url(self, mlflow_version: str) -> str:
        return f"http://mlflow/models/{mlflow_version}"

    def _demand(self) -> None:
        if self.away:
            raise MlflowUnavailable("MLflow does not answer")


class FakeRegistry(Registry):
    """Registry versions and aliases as dictionaries; its own numbers differ from ours."""

    def __init__(self) -> None:
        self.versions: dict[int, str] = {}
        self.tags: dict[int, dict[str, str]] = {}
        self.aliases: dict[str, int] = {}
        self.away = False

    def available(self) -> bool:
        return not self.away

    def register(
        self, n: int, adapter_dir: Path, run_id: str | None, tags: Mapping[str, str], report: Path | None
    ) -> str:
        self._demand()
        self.tags[n] = dict(tags)
        return self.versions.setdefault(n, str(len(self.versions) + 11))

    def registered(self, n: int) -> str | None:
        self._demand()
        return self.versions.get(n)

    def alias(self, name: str) -> int | None:
        self._demand()
        return self.aliases.get(name)

    def set_alias(self, name: str, n: int | None) -> None:
        self._demand()
        if n is None:
            self.aliases.pop(name, None)
            return
        if n not in self.versions:
            raise LookupError(f"v{n} is not registered")
        self.aliases[name] = n

    def tag(self, n: int, tags: Mapping[str, str]) -> None:
        self._demand()
        self.tags.setdefault(n, {}).update(tags)

    def _demand(self) -> None:
        if self.away:
            raise MlflowUnavailable("MLflow does not answer")
