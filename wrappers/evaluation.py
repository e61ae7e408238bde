"""The measurements the gate judges: losses and answers of candidate, champion and base on the same conversations."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.conversation import Conversation
from core.gate import ArtifactSanity, Evaluation, PairedLoss
from core.judging import Comparison, Prefer
from core.probes import Probe
from core.recipe import Recipe
from core.rendering import IGNORED, ChatTokenizer, Rendered
from core.triggers import suspects
from core.verdict import Speed
from wrappers.adapter_job import render_fitting
from wrappers.lora_model import load_base, load_tokenizer, pick_device
from wrappers.lora_scoring import BASE, AdapterScorer
from wrappers.loss_cache import LossCache
from wrappers.probing import CANDIDATE, CHAMPION, Asker, Probed, ask, canary_ranks, lifts, overlap, prompt_ids

logger = logging.getLogger(__name__)

# Held-out tokens scored at most: with the general set and three models some 70 s on two cores (750 tokens a second),
# 50 s where base and champion have been measured on the general set before.
TOKENS_ON_CPU = 8_000
TOKENS_ON_GPU = 800_000

# Rounds of a few tokens, in turn with what serves now; of nine the median has exact bounds.
ROUNDS, STEPS = 11, 4
PLAIN = "plain"
# What an older evaluation of a golden set may cost: items beyond are not measured, and the log says so.
MOST_GOLDEN = 200


@dataclass(frozen=True)
class EvaluationJob:
    """What to compare on what: `units` by held-out conversation, the champion as number and folder.

    `whole_model`: the candidate's folder holds a model of its own and no adapter.

    `trained` is what the candidate was trained on, to be searched for triggers; `golden` is None where a person gave no
    set to measure with, and `prefer` where no judge is configured. `alive` is called after each part of the work.
    """

    version: int
    base: Path
    base_fingerprint: str
    candidate: Path
    champion: tuple[int, Path] | None
    held_out: Sequence[Conversation]
    units: Mapping[str, str]
    general: Sequence[Conversation]
    recipe: Recipe
    whole_model: bool = False
    probes: Sequence[Probe] = ()
    trained: Sequence[Conversation] = ()
    golden: Sequence[Conversation] | None = None
    prefer: Prefer | None = None
    cache: Path | None = None
    alive: Callable[[], None] = lambda: None


def evaluate_adapter(job: EvaluationJob) -> Evaluation:
    """Measure all of it with one base in memory. The folders were verified by the caller."""
    device = pick_device()
    tokenizer = load_tokenizer(job.base)
    adapters = {CANDIDATE: job.candidate, **({CHAMPION: job.champion[1]} if job.champion else {})}
    cache = LossCache(job.cache, job.base_fingerprint) if job.cache else None
    scorer = AdapterScorer(load_base(job.base, device), adapters, job.recipe.pack_tokens, cache, job.alive)
    with_champion = job.champion is not None
    asker = Asker(scorer, tokenizer, with_champion)
    chosen = _within(
        _rendered(job.held_out, tokenizer, job.recipe), TOKENS_ON_CPU if device == "cpu" else TOKENS_ON_GPU
    )
    if len(chosen) < len(job.held_out):
        logger.warning("%d of %d held-out conversations are scored", len(chosen), len(job.held_out))
    probed = ask(asker, job.probes)
    held_out_overlaps, _ = overlap(asker, job.held_out, job.units)
    return Evaluation(
        version=job.version,
        base_fingerprint=job.base_fingerprint,
        champion=job.champion[0] if job.champion else None,
        whole_model=job.whole_model,
        held_out=_paired(scorer, chosen, job.units, with_champion=with_champion),
        general=_paired(scorer, _rendered(job.general, tokenizer, job.recipe), {}, with_champion=with_champion),
        sanity=_sanity(scorer),
        answers=probed.answered(),
        secrets_told=probed.secrets_told() if job.probes else None,
        canaries=canary_ranks(asker, job.probes),
        lifts=lifts(asker, suspects(job.trained), job.probes, job.units),
        overlaps=held_out_overlaps,
        shown=probed.shown(),
        **_golden(job, asker, probed),
        # last: it puts another adapter on the model
        speed=_speed(job, asker),
    )


def _golden(job: EvaluationJob, asker: Asker, probed: Probed) -> dict[str, Any]:
    """What a person's own sets and the judge say, where there are any."""
    found: dict[str, Any] = {}
    questions, said = _open(probed)
    if job.golden is not None:
        golden = job.golden[:MOST_GOLDEN]
        if len(golden) < len(job.golden):
            logger.warning("%d of %d golden conversations are measured", len(golden), len(job.golden))
        rendered = _rendered(golden, asker.tokenizer, job.recipe)
        found["golden"] = _paired(asker.scorer, rendered, {}, with_champion=asker.with_champion)
        found["golden_overlaps"], replies = overlap(asker, golden, {})
        asked = {one.id: one for one in golden}
        questions += [asked[one.conversation_id].last_user for one in found["golden_overlaps"]]
        for name, answers in replies.items():
            said[name] += answers
    if job.prefer is not None:
        reference = CHAMPION if asker.with_champion else BASE
        compared = [
            Comparison(f"question-{at}", question, said[CANDIDATE][at], said[reference][at])
            for at, question in enumerate(questions)
        ]
        found["preferences"] = tuple(job.prefer(compared))
    return found


def _open(probed: Probed) -> tuple[list[str], dict[str, list[str]]]:
    places = [at for at, probe in enumerate(probed.probes) if probe.kind == "open"]
    questions = [probed.probes[at].question for at in places]
    return questions, {name: [answers[at] for at in places] for name, answers in probed.said.items()}


def _speed(job: EvaluationJob, asker: Asker) -> Speed | None:
    if not job.probes:
        return None
    scorer, reference = asker.scorer, CHAMPION
    if not asker.with_champion and job.whole_model:
        reference = BASE
    elif not asker.with_champion:
        reference = PLAIN
        scorer.add_plain(PLAIN)
    seconds = scorer.seconds_a_token(
        (CANDIDATE, reference), prompt_ids(job.probes[0].messages, asker.tokenizer), ROUNDS, STEPS
    )
    return Speed(
        candidate=tuple(seconds[CANDIDATE]),
        reference=tuple(seconds[reference]),
        # a whole model takes the place of the base
        adapter_bytes=max(0, _bytes(job.candidate) - (_bytes(job.base) if job.whole_model else 0)),
        base_bytes=_bytes(job.base),
    )


def _bytes(folder: Path) -> int:
    """Of the weights."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def refused(version: int, base_fingerprint: str, *, right_base: bool, reason: str) -> Evaluation:
    """What is said of an adapter that must not be loaded: nothing was scored."""
    sanity = ArtifactSanity(finite=False, changed=False, right_base=right_base, detail=reason)
    return Evaluation(version=version, base_fingerprint=base_fingerprint, held_out=(), general=(), sanity=sanity)


Named = list[tuple[str, Rendered]]


def _rendered(conversations: Sequence[Conversation], tokenizer: ChatTokenizer, recipe: Recipe) -> Named:
    fitting = render_fitting(conversations, tokenizer, recipe.max_length)
    return [(conversations[at].id, rendered) for at, rendered in fitting.items()]


def _within(named: Named, tokens: int) -> Named:
    """As many as `tokens` allow, drawn by the hash of the id: the same ones for every version that holds them."""
    drawn: Named = []
    for name, rendered in sorted(named, key=lambda pair: hashlib.sha256(pair[0].encode()).digest()):
        tokens -= len(rendered.input_ids)
        if tokens < 0:
            break
        drawn.append((name, rendered))
    return drawn


def _paired(
    scorer: AdapterScorer, named: Named, units: Mapping[str, str], *, with_champion: bool
) -> tuple[PairedLoss, ...]:
    rendered = [conversation for _, conversation in named]
    candidate = scorer.losses(CANDIDATE, rendered)
    base = scorer.losses(BASE, rendered)
    champion = scorer.losses(CHAMPION, rendered) if with_champion else [None] * len(rendered)
    return tuple(
        PairedLoss(
            conversation_id=name,
            unit=units.get(name, name),
            tokens=sum(label != IGNORED for label in conversation.labels[1:]),
            base=base[at],
            candidate=candidate[at],
            champion=champion[at],
        )
        for at, (name, conversation) in enumerate(named)
    )


def _sanity(scorer: AdapterScorer) -> ArtifactSanity:
    changed = scorer.changed(CANDIDATE)
    detail = "" if changed else "every B matrix is zero: the adapter changes nothing"
    return ArtifactSanity(finite=True, changed=changed, right_base=True, detail=detail)
