import pytest
from pydantic import ValidationError

from core.canonical import canonical_json
from core.recipe import Recipe


def test_the_fingerprint_changes_with_every_number() -> None:
    plain = Recipe()
    assert Recipe().fingerprint() == plain.fingerprint()
    changes = {
        "method": "qlora", "rank": 8, "alpha": 8, "dropout": 0.1, "targets": ("q_proj",), "learning_rate": 1e-4,
        "epochs": 5, "pack_tokens": 128, "tokens_per_step": 2048, "warmup_share": 0.1, "schedule": "constant",
        "weight_decay": 0.1, "gradient_clip": 2.0, "seed": 1, "max_length": 256, "replay_share": 0.1,
        "start_from": "champion", "preference_rate": 1e-6, "preference_beta": 0.2, "preference_epochs": 2,
        "patience": 1, "rate_factors": (0.3, 1.0), "gradient_checkpointing": True,
    }  # fmt: skip
    assert set(changes) == set(Recipe.model_fields)
    changed = [Recipe(**{name: value}).fingerprint() for name, value in changes.items()]
    assert len({*changed, plain.fingerprint()}) == len(changes) + 1


def test_a_recipe_survives_json() -> None:
    assert Recipe.model_validate_json(Recipe(rank=4).model_dump_json()) == Recipe(rank=4)


@pytest.mark.parametrize(
    "wrong", [{"rank": 0}, {"learning_rate": float("nan")}, {"epochs": 21}, {"replay_share": 1.0}, {"speed": 9}]
)
def test_a_recipe_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Recipe(**wrong)


def test_canonical_json_has_one_spelling() -> None:
    assert canonical_json({"b": [1.0, "안"], "a": None}) == '{"a":null,"b":[1.0,"안"]}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))


def test_a_whole_model_starts_from_the_base() -> None:
    assert not Recipe(method="full").makes_adapter
    with pytest.raises(ValidationError, match="found champion"):
        Recipe(method="full", start_from="champion")


def test_rows_are_halved_down_to_the_shortest() -> None:
    assert [Recipe(pack_tokens=512).row_tokens(times) for times in range(5)] == [512, 256, 128, 64, 64]
    assert Recipe(pack_tokens=32).row_tokens(3) == 32
