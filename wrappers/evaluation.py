"""The measurements the gate judges: losses of candidate, champion and base on the same conversations."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.conversation import Conversation
from core.gate import ArtifactSanity, Evaluation, PairedLoss
from core.recipe import Recipe
from core.rendering import IGNORED, ChatTokenizer, Rendered
from wrappers.adapter_job import render_fitting
from wrappers.lora_model import load_base, load_tokenizer, pick_device
from wrappers.lora_scoring import BASE, AdapterScorer
from wrappers.loss_cache import LossCache

logger = logging.getLogger(__name__)

CANDIDATE = "candidate"
CHAMPION = "champion"

# Held-out tokens scored at most: with the general set and three models some 70 s on two cores (750 tokens a second),
# 50 s where base and champion have been measured on the general set before.
TOKENS_ON_CPU = 8_000
TOKENS_ON_GPU = 800_000


@dataclass(frozen=True)
class EvaluationJob:
    """What to compare on what: `units` by held-out conversation, the champion as number and folder."""

    version: int
    base: Path
    base_fingerprint: str
    candidate: Path
    champion: tuple[int, Path] | None
    held_out: Sequence[Conversation]
    units: Mapping[str, str]
    general: Sequence[Conversation]
    recipe: Recipe
    cache: Path | None = None


def evaluate_adapter(job: EvaluationJob) -> Evaluation:
    """Score all of it with one base in memory. The folders were verified by the caller."""
    device = pick_device()
    tokenizer = load_tokenizer(job.base)
    adapters = {CANDIDATE: job.candidate, **({CHAMPION: job.champion[1]} if job.champion else {})}
    cache = LossCache(job.cache, job.base_fingerprint) if job.cache else None
    scorer = AdapterScorer(load_base(job.base, device), adapters, job.recipe.pack_tokens, cache)
    chosen = _within(
        _rendered(job.held_out, tokenizer, job.recipe), TOKENS_ON_CPU if device == "cpu" else TOKENS_ON_GPU
    )
    if len(chosen) < len(job.held_out):
        logger.warning("%d of %d held-out conversations are scored", len(chosen), len(job.held_out))
    return Evaluation(
        version=job.version,
        base_fingerprint=job.base_fingerprint,
        champion=job.champion[0] if job.champion else None,
        held_out=_paired(scorer, chosen, job.units, with_champion=job.champion is not None),
        general=_paired(
            scorer, _rendered(job.general, tokenizer, job.recipe), {}, with_champion=job.champion is not None
        ),
        sanity=_sanity(scorer),
    )


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
