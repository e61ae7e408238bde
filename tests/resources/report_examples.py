"""A story with everything in it that a report can show, and a person's attempt to break out of the page."""

from dataclasses import replace

from core.gate import GateThresholds, judge
from core.verdict import Shown
from resources.report import Made, Story
from tests.resources.test_report import CURVE, evaluation

ATTACK = "<script>alert('x')</script><img src=http://evil.example/x.png onerror=alert(1)>\"'&"
SHOWN = (
    Shown(
        probe="open-ko-01",
        question="빵을 오래 보관하려면 어떻게 해야 하나요?",
        base="비닐에 넣",
        candidate="봉지에 넣어 두세요.",
        champion="냉동하세요.",
    ),
    Shown(probe="open-en-01", question="How?", base=ATTACK, candidate=f"{ATTACK} 답\ufffd", champion=ATTACK),
)
RECIPE = {"rank": 16, "learning_rate": 1e-3, "epochs": 2, "targets": ["q_proj", "v_proj"], "start_from": "base"}


def full_story(gain: float = 0.5, champion: int | None = 3) -> Story:
    """Of v4 against v3 (None: the base)."""
    found = evaluation(gain, champion).model_copy(update={"shown": SHOWN})
    return Story(
        found,
        judge(found, GateThresholds()),
        CURVE,
        {"claimed": 60, "accepted": 50, "train": 40, "held_out": 10, "masked.PHONE": 3},
        {"too_many_tokens": 3, "duplicate": 7, ATTACK: 1},
        {"seconds": 81.2345678, "steps": 20},
        {"dataset": "d" * 64, "MLflow run": None, "base model": ATTACK},
        made=Made(4, RECIPE, {"train": 40, "held_out": 10}, {}, {"human": 50}),
        before=None if champion is None else Made(3, {**RECIPE, "epochs": 3}, {"train": 30}, {}, {"teacher": 30}),
    )


def overruled_story() -> Story:
    """Rejected by the gate, promoted by a person who gave a reason."""
    return replace(full_story(gain=-0.5), state="promoted", override=f"급합니다 {ATTACK}")
