"""Figures of an evaluation under the names people ask for them by: accuracy, f1, perplexity, bleu, chrf."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from core.reading import words
from core.verdict import Evaluation, Overlap, PairedLoss

Metric = Literal["accuracy", "f1", "perplexity", "bleu", "chrf"]
METRICS: tuple[Metric, ...] = ("accuracy", "f1", "perplexity", "bleu", "chrf")
MODELS = ("base", "champion", "candidate")

Figures = dict[str, dict[str, float]]


def word_f1(said: str, reference: str) -> float:
    """F1 of the words of a reply against its reference, each as often as it stands (Rajpurkar et al. 2016), 0 to 1."""
    mine, theirs = Counter(words(said)), Counter(words(reference))
    if not mine or not theirs:
        return float(mine == theirs)
    shared = (mine & theirs).total()
    return 2.0 * shared / (mine.total() + theirs.total())


def figures(evaluation: Evaluation, metrics: Sequence[Metric]) -> Figures:
    """By metric and model, where it was measured; on the golden sets where there are any, else on what is held out.

    `accuracy` is the share of replies with just the words of their reference, `f1` as above, both 0 to 1; `bleu` and
    `chrf` are 0 to 100; `perplexity` is exp of the mean nats a token, all tokens counting alike.
    """
    golden = evaluation.golden is not None
    pairs = evaluation.golden if golden else evaluation.held_out
    overlaps = evaluation.golden_overlaps if golden else evaluation.overlaps
    found: Figures = {}
    for metric in metrics:
        measured = _perplexity(pairs or ()) if metric == "perplexity" else _means(overlaps, metric)
        found[metric] = {name: value for name, value in measured.items() if math.isfinite(value)}
    return found


_SUFFIX: Mapping[str, str] = MappingProxyType({"accuracy": "_f1", "f1": "_f1", "bleu": "_bleu", "chrf": ""})


def _means(overlaps: Sequence[Overlap], metric: Metric) -> dict[str, float]:
    counted: Callable[[float], float] = (lambda value: float(value == 1.0)) if metric == "accuracy" else float
    found = {}
    for model in MODELS:
        values = [value for one in overlaps if (value := getattr(one, model + _SUFFIX[metric])) is not None]
        if values:
            found[model] = sum(map(counted, values)) / len(values)
    return found


def _perplexity(pairs: Sequence[PairedLoss]) -> dict[str, float]:
    found = {}
    for model in MODELS:
        known = [(loss, pair.tokens) for pair in pairs if (loss := getattr(pair, model)) is not None]
        if known:
            mean = sum(loss * tokens for loss, tokens in known) / sum(tokens for _, tokens in known)
            found[model] = math.exp(mean) if mean < 700 else math.inf
    return found
