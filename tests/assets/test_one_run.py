"""One whole run of the graph, quick enough to be among the tests without marker; the others are in test_graph.py."""

from tests.workshop import Workshop


def test_a_rejected_candidate_is_a_green_run_and_moves_no_champion(shop: Workshop) -> None:
    shop.capture(0, 60)
    shop.trainer.gain = -0.5
    result = shop.run()
    assert result.success
    assert shop.store.versions.get(1).state == "rejected"
    assert shop.store.champion.get().n is None
    assert shop.registry.tags[1]["verdict"] == "rejected"
    verdicts = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert verdicts["candidate_is_better"] is False
    assert verdicts["no_conversation_in_two_sides"] is True
