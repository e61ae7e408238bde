"""The results of an experiment as one page: no script, nothing from elsewhere, its intervals drawn."""

from collections.abc import Iterable, Sequence

from core.comparisons import Comparison
from core.experiment_results import Results
from core.experiments import METRICS
from resources.experiments import Experiment
from resources.page import Html, document, join, table, tag
from serve.interval_chart import intervals, looks_chart

_KINDS = {"ship": "good", "blocked": "bad", "keep_control": "bad"}
_SAYS = {
    "better": "better",
    "holds": "not worse than the margin",
    "unproven": "not yet shown to hold",
    "worse": "worse",
    "unknown": "",
}


def page_of(experiment: Experiment, results: Results) -> str:
    """A whole HTML document."""
    name = experiment.design.name
    parts = [
        tag("h1", name),
        _head(experiment, results),
        tag("p", f"{results.recommendation}.", class_=f"said {_KINDS.get(results.outcome, '')}"),
        _small(f"{results.needs_more.sentence}."),
        tag("h2", "Arms"),
        _arms(results),
        _split(results),
        *_differences(experiment, results.comparisons),
        tag("h2", "Looks at the success metric"),
        *_looks(results),
        tag("h2", "What would stop it at any moment"),
        _guardrails(results),
    ]
    return document(name, parts)


def number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}g}"


def _small(said: str) -> Html:
    return tag("p", said, class_="small")


def _head(experiment: Experiment, results: Results) -> Html:
    design = experiment.design
    about = tag("p", design.description) if design.description else Html()
    end = f", ended by {experiment.ended_by}: {experiment.reason or ''}" if experiment.ended_by else ""
    facts = f"{experiment.status} for {results.days:g} days{end} · {design.coverage:.0%} of the traffic · "
    facts += f"success is judged by {METRICS[design.success_metric].words}"
    won = f" · winner {experiment.winner}" if experiment.winner else ""
    return join([_small(f"{facts}{won}"), about])


def _arms(results: Results) -> Html:
    rows = []
    for arm in results.variants:
        interval = arm.confidence_interval
        shown = f"{number(interval['lower'])} … {number(interval['upper'])}" if interval else "–"
        shares = [f"{100 * arm.metrics[name]:.2g} %" if name in arm.metrics else "–" for name in ("errors", "empty")]
        seconds = number(arm.metrics.get("latency"))
        rows.append([arm.name, arm.model, arm.samples, arm.rated, number(arm.avg_rating), shown, seconds, *shares])
    return table(["arm", "model", "users", "rated", "mean rating", "95 %", "seconds a reply", "failed", "empty"], rows)


def _split(results: Results) -> Html:
    split = results.split
    says = "fits the plan" if split.ok else "does not fit the plan: nothing below can be trusted"
    return _small(f"The split {says} (p = {number(split.p_value)}).")


def _differences(experiment: Experiment, comparisons: Sequence[Comparison]) -> Iterable[Html]:
    control = experiment.design.control.name
    for arm in experiment.design.arms[1:]:
        mine = [one for one in comparisons if one.arm == arm.name]
        if mine:
            yield tag("h2", f"{arm.name} beside {control}")
            yield Html(intervals(mine))
            yield _small(
                "Thick: 95 % at this moment. Thin: holds at every moment at once. "
                "Dashed: how much worse still passes. Means of users, not of replies."
            )
            yield table(
                ["metric", control, arm.name, "difference", "effect size", "chance of a higher value", ""],
                [_row(one) for one in mine],
            )


def _row(one: Comparison) -> list[object]:
    effect = one.effect_size.estimate if one.effect_size else None
    return [
        METRICS[one.metric].words,
        number(one.control),
        number(one.challenger),
        f"{one.difference.estimate:+.3g}",
        number(effect, 2),
        f"{one.superiority:.0%}",
        _SAYS[one.guard],
    ]


def _looks(results: Results) -> Iterable[Html]:
    taken = results.looks.taken
    progress = f"{min(1.0, results.looks.fraction):.0%} of the planned users are there"
    if not taken:
        yield _small(f"None yet; {progress}.")
        return
    p_value = f"; p = {number(results.p_value)}, which survives the looks" if results.p_value is not None else ""
    yield Html(looks_chart(taken, results.looks.boundaries))
    yield _small(f"{progress}{p_value}.")


def _guardrails(results: Results) -> Html:
    if not results.guardrails:
        return _small("Nobody was served yet.")
    rows = [
        [harm.arm, METRICS[harm.metric].words, "stops it" if harm.breached else "goes on", harm.sentence]
        for harm in results.guardrails
    ]
    return table(["arm", "metric", "", "what is seen"], rows)
