"""The results of an experiment as one page: no script, nothing from elsewhere, its intervals drawn."""

from collections.abc import Iterable, Sequence
from html import escape

from core.comparisons import Comparison
from core.experiment_results import Results
from core.experiments import METRICS
from resources.experiments import Experiment
from serve.interval_chart import intervals, looks_chart

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --good: light-dark(#1a7f4b, #3fbf7f);
  --bad: light-dark(#c2352b, #ff7b6e); --calm: light-dark(#5b6b7b, #9fb0c0); }
body { font: 15px/1.5 system-ui, "Noto Sans KR", "Apple SD Gothic Neo", "Malgun Gothic", sans-serif;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, p { overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; word-break: keep-all }
.said { border-left: .3rem solid var(--calm); padding: .6rem 1rem; font-size: 1.05rem }
.ship { border-color: var(--good) } .blocked, .keep_control { border-color: var(--bad) }
.small { color: var(--calm); font-size: .9rem } svg { width: 100%; height: auto }
svg text { font: 12px system-ui, "Noto Sans KR", sans-serif; fill: currentColor }
"""
_SAYS = {
    "better": "better",
    "holds": "not worse than the margin",
    "unproven": "not yet shown to hold",
    "worse": "worse",
    "unknown": "",
}


def page_of(experiment: Experiment, results: Results) -> str:
    """A whole HTML document."""
    name = escape(experiment.design.name)
    parts = [
        f"<h1>{name}</h1>",
        _head(experiment, results),
        f'<p class="said {results.outcome}">{escape(results.recommendation)}.</p>',
        f'<p class="small">{escape(results.needs_more.sentence)}.</p>',
        "<h2>Arms</h2>",
        _arms(results),
        _split(results),
        *_differences(experiment, results.comparisons),
        "<h2>Looks at the success metric</h2>",
        _looks(results),
        "<h2>What would stop it at any moment</h2>",
        _guardrails(results),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{"".join(parts)}</body></html>'
    )


def number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}g}"


def _head(experiment: Experiment, results: Results) -> str:
    design = experiment.design
    about = f"<p>{escape(design.description)}</p>" if design.description else ""
    end = f", ended by {escape(experiment.ended_by)}: {escape(experiment.reason or '')}" if experiment.ended_by else ""
    facts = f"{experiment.status} for {results.days:g} days{end} · {design.coverage:.0%} of the traffic · "
    facts += f"success is judged by {METRICS[design.success_metric].words}"
    won = f" · winner {escape(experiment.winner)}" if experiment.winner else ""
    return f'<p class="small">{facts}{won}</p>{about}'


def _arms(results: Results) -> str:
    rows = []
    for arm in results.variants:
        interval = arm.confidence_interval
        shown = f"{number(interval['lower'])} … {number(interval['upper'])}" if interval else "–"
        shares = [f"{100 * arm.metrics[name]:.2g} %" if name in arm.metrics else "–" for name in ("errors", "empty")]
        seconds = number(arm.metrics.get("latency"))
        rows.append([arm.name, arm.model, arm.samples, arm.rated, number(arm.avg_rating), shown, seconds, *shares])
    return _table(["arm", "model", "users", "rated", "mean rating", "95 %", "seconds a reply", "failed", "empty"], rows)


def _split(results: Results) -> str:
    split = results.split
    says = "fits the plan" if split.ok else "does not fit the plan: nothing below can be trusted"
    return f'<p class="small">The split {says} (p = {number(split.p_value)}).</p>'


def _differences(experiment: Experiment, comparisons: Sequence[Comparison]) -> Iterable[str]:
    control = escape(experiment.design.control.name)
    for arm in experiment.design.arms[1:]:
        mine = [one for one in comparisons if one.arm == arm.name]
        if mine:
            yield f"<h2>{escape(arm.name)} beside {control}</h2>{intervals(mine)}"
            yield '<p class="small">Thick: 95 % at this moment. Thin: holds at every moment at once. '
            yield "Dashed: how much worse still passes. Means of users, not of replies.</p>"
            yield _table(
                ["metric", control, escape(arm.name), "difference", "effect size", "chance of a higher value", ""],
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


def _looks(results: Results) -> str:
    taken = results.looks.taken
    progress = f"{min(1.0, results.looks.fraction):.0%} of the planned users are there"
    if not taken:
        return f'<p class="small">None yet; {progress}.</p>'
    p_value = f"; p = {number(results.p_value)}, which survives the looks" if results.p_value is not None else ""
    return f'{looks_chart(taken, results.looks.boundaries)}<p class="small">{progress}{p_value}.</p>'


def _guardrails(results: Results) -> str:
    if not results.guardrails:
        return '<p class="small">Nobody was served yet.</p>'
    rows = [
        [harm.arm, METRICS[harm.metric].words, "stops it" if harm.breached else "goes on", harm.sentence]
        for harm in results.guardrails
    ]
    return _table(["arm", "metric", "", "what is seen"], rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
