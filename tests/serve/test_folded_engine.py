"""A real engine whose adapter is folded: the answers stay those of the adapter, and the base's stay the base's."""

import asyncio

import pytest

from serve.folding import FoldRefused
from tests.serve.conftest import Publish, RealEngine
from tests.serve.greedy import QUESTIONS, Token, agree, ask, one_after_the_other, together

pytestmark = pytest.mark.engine
# Nats. Folding rounds by chance in 60 layers: asked after every fourth, the worst of a thousand tokens was 0.58 off.
ROUNDED = 1.0


def test_a_folded_adapter_answers_as_before_and_nothing_else_changes(real_engine: RealEngine, publish: Publish) -> None:
    publish(30)
    publish(31)
    run, backend = real_engine.runner.run, real_engine.backend
    for name in ("v30", "v31"):
        run(real_engine.engine.ensure(name, ["v30", "v31"]))
    alone = {name: run(one_after_the_other(real_engine, name)) for name in ("base", "v30", "v31")}

    run(backend.fold("v30"))

    assert backend.folded == "v30"
    folded = run(one_after_the_other(real_engine, "v30"))
    assert folded != alone["v30"]  # not the very same sums: it is another operator that answered
    assert agree(alone["v30"], folded, ROUNDED)
    assert not agree(alone["v30"], alone["base"], ROUNDED)
    assert not agree(alone["v30"], alone["v31"], ROUNDED)
    assert run(one_after_the_other(real_engine, "base")) == alone["base"]
    assert run(one_after_the_other(real_engine, "v31")) == alone["v31"]
    mixed = run(together(real_engine, "base", "v30", "v31"))
    assert all(agree(alone[name], mixed[name], ROUNDED) for name in alone)

    run(backend.unfold())
    assert {name: run(one_after_the_other(real_engine, name)) for name in alone} == alone


def test_what_is_asked_while_a_fold_is_made_is_answered_right(real_engine: RealEngine, publish: Publish) -> None:
    publish(32)
    run = real_engine.runner.run
    run(real_engine.engine.ensure("v32", ["v32"]))
    alone = {name: run(one_after_the_other(real_engine, name)) for name in ("base", "v32")}

    async def play() -> dict[str, list[list[Token]]]:
        folding, said = asyncio.create_task(real_engine.backend.fold("v32")), []
        while not folding.done():
            question = QUESTIONS[len(said) % len(QUESTIONS)]
            said.append([await ask(real_engine, name, question) for name in alone])
        await folding
        assert len(said) > len(QUESTIONS)
        turns = [said[place :: len(QUESTIONS)][0] for place in range(len(QUESTIONS))]
        return {name: [turn[place] for turn in turns] for place, name in enumerate(alone)}

    during = run(play())
    assert during["base"] == alone["base"]
    assert agree(alone["v32"], during["v32"], ROUNDED)
    assert not agree(alone["v32"], during["base"], ROUNDED)


def test_an_adapter_that_left_the_engine_is_no_longer_folded(real_engine: RealEngine, publish: Publish) -> None:
    for n in (33, 34, 35):
        publish(n)
    run, backend = real_engine.runner.run, real_engine.backend
    run(real_engine.engine.ensure("v33", ["v33"]))
    run(backend.fold("v33"))
    for name in ("v34", "v35"):  # two places: v33 has to go
        run(real_engine.engine.ensure(name, ["v34", "v35"]))
    assert backend.folded is None
    with pytest.raises(FoldRefused, match="adapter"):
        run(_fold_by_number(real_engine, 999))


async def _fold_by_number(real: RealEngine, adapter: int) -> None:
    for _, trouble in await real.backend._llm.collective_rpc("fold_some", args=(adapter, 1.0)):
        raise FoldRefused(trouble)
