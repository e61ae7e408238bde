"""A golden set that a person uploads: kept out of what is trained on, by the graph itself."""

from assets.conversations import raw_conversations
from assets.datasets import validated_dataset
from core.sides import SIDES
from tests.own_names import read_own
from tests.resources.test_golden_sets import ROW, line, uploaded
from tests.workshop import Workshop, conversation


def test_what_a_golden_set_holds_is_in_no_side_of_the_next_dataset_and_the_reason_is_told(shop: Workshop) -> None:
    uploaded(shop.store, shop.settings.state_dir / "uploads", line())
    shop.capture(0, 20)
    leak = conversation(20, reply=ROW["output"])
    asked = leak.messages[0].model_copy(update={"content": ROW["instruction"]})
    shop.store.conversations.capture([leak.model_copy(update={"messages": (asked,)})])
    result = shop.run([raw_conversations, validated_dataset])
    assert result.success
    dataset = shop.settings.state_dir / "datasets" / "v1"
    kept = [one.id for side in SIDES for one in read_own(shop.store, dataset, side)]
    assert len(kept) == 20
    assert leak.id not in kept
    assert shop.store.versions.get(1).counts["reasons"] == {"contaminated": 1}
    [check] = [one for one in result.get_asset_check_evaluations() if one.check_name == "no_prompt_of_the_gate"]
    assert check.passed
