"""Pins and what the next start takes, on both databases."""

import pytest

from core.live_settings import LiveSettings
from resources.store import NotAllowed, NotFound, Store
from tests.resources.examples import claimed, conclude, event_types
from tests.resources.experiment_examples import design, two_versions


def test_pins_are_kept_in_order_told_once_and_of_one_base(store: Store) -> None:
    two_versions(store)
    for n in (2, 1, 2):
        store.deployments.pin(n, "a person", places=3)
    assert store.deployments.pinned() == [2, 1]
    assert event_types(store)[-2:] == ["pinned", "pinned"]
    url = store.database.url.render_as_string(hide_password=False)
    other = Store(url, live_defaults=LiveSettings(), lineage="another base")
    assert other.deployments.pinned() == []
    with pytest.raises(NotAllowed, match="another base"):
        other.deployments.pin(1, "a person", places=3)
    other.close()
    store.deployments.unpin(2, "a person")
    store.deployments.unpin(2, "a person")
    assert (store.deployments.pinned(), event_types(store).count("unpinned")) == ([1], 1)
    with pytest.raises(NotFound):
        store.deployments.unpin(9, "a person")


def test_what_answers_and_what_an_experiment_needs_comes_first(store: Store) -> None:
    two_versions(store)
    conclude(store, claimed(store, "three"))
    running = store.experiments.add(design())
    conclude(store, claimed(store, "four"), promoted=False)
    with pytest.raises(NotAllowed, match="at most 3 versions in an engine at once, found v1, v2, v3, v4"):
        store.deployments.pin(4, "a person", places=3)
    store.experiments.stop(running.id, "enough", "a person")
    store.deployments.pin(4, "a person", places=3)
    with pytest.raises(NotAllowed, match="on disk"):
        store.deployments.pin(1, "a person", places=9, on_disk=["v4"])


def test_what_the_next_start_takes_is_merged_and_taken_back(store: Store) -> None:
    assert store.deployments.chosen() == {}
    assert store.deployments.choose({"engine_replicas": 2}, "a person") == {"engine_replicas": 2}
    both = store.deployments.choose({"engine_gpu_fraction": 0.5}, "a person")
    assert both == store.deployments.chosen() == {"engine_replicas": 2, "engine_gpu_fraction": 0.5}
    store.deployments.choose({"engine_replicas": 2}, "a person")  # so it is already
    assert store.deployments.choose(dict.fromkeys(both), "a person") == {}
    assert [event.message for event in store.events.page(type="deployment_changed")] == [
        "The next start takes what the settings say, asked by a person",
        "The next start takes engine_replicas 2, engine_gpu_fraction 0.5, asked by a person",
        "The next start takes engine_replicas 2, asked by a person",
    ]
    assert store.settings.get() == LiveSettings()
