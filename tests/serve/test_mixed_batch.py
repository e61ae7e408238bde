"""Rows of the base beside rows of an adapter in one batch: on stock CPU kernels the base answers as the adapter."""

import pytest

from tests.serve.conftest import Publish, RealEngine
from tests.serve.greedy import agree, one_after_the_other, together

pytestmark = pytest.mark.engine


def test_base_and_adapters_in_one_batch_answer_as_they_do_alone(real_engine: RealEngine, publish: Publish) -> None:
    publish(1)
    publish(2)
    run = real_engine.runner.run
    base = run(one_after_the_other(real_engine, "base"))
    run(real_engine.engine.ensure("v1", ["v1", "v2"]))
    run(real_engine.engine.ensure("v2", ["v1", "v2"]))
    first, second = run(one_after_the_other(real_engine, "v1")), run(one_after_the_other(real_engine, "v2"))
    assert not agree(base, first)
    assert not agree(base, second)

    mixed = run(together(real_engine, "base", "v1", "v2"))

    assert agree(base, mixed["base"])
    assert agree(first, mixed["v1"])
    assert agree(second, mixed["v2"])


def test_the_base_is_itself_again_after_an_adapter_left(real_engine: RealEngine, publish: Publish) -> None:
    publish(3)
    run = real_engine.runner.run
    base = run(one_after_the_other(real_engine, "base"))
    run(real_engine.engine.ensure("v3", ["v3"]))
    mixed = run(together(real_engine, "base", "v3"))
    assert agree(base, mixed["base"])
    assert not agree(base, mixed["v3"])
