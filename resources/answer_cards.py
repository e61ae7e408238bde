"""Answers to the gate's own questions side by side: never to what users wrote."""

from core.verdict import Evaluation, Shown, reference_name, reference_of
from resources.page import Html, join, tag, text

# a reply cut within a character of several bytes ends so
_CUT = "\ufffd"


def answer_cards(evaluation: Evaluation) -> Html:
    """One card a question; nothing where nothing was asked."""
    if not evaluation.shown:
        return Html()
    before, now = reference_name(evaluation.champion), f"v{evaluation.version}"
    how = "To a few of the gate's own questions. An answer is cut where its check has seen enough."
    cards = [
        _card(one, (before, reference_of(one, evaluation.champion)), (now, one.candidate)) for one in evaluation.shown
    ]
    return join([tag("p", how, class_="small"), *cards])


def _card(one: Shown, *said: tuple[str, str | None]) -> Html:
    asked = tag(
        "div", text(one.question), tag("small", one.probe.rpartition("-")[0].replace("-", ", ")), class_="asked"
    )
    return tag("article", asked, *(_answer(name, words) for name, words in said), class_="card")


def _answer(name: str, words: str | None) -> Html:
    who = tag("span", name, class_="who")
    if words is None:
        return tag("div", who, tag("span", "was not asked", class_="nothing"))
    shown = words.rstrip(_CUT).strip() + ("…" if words.endswith(_CUT) else "")
    return tag("div", who, tag("span", shown, class_="words") if shown else tag("span", "nothing", class_="nothing"))
