from pathlib import Path

import pytest

from core.recipe import Recipe
from tests.wrappers.tiny_model import short_conversations
from wrappers.base import ModelWrapper
from wrappers.lora import LoraWrapper, messages_of
from wrappers.lora_model import attach, load_base, save_adapter

RECIPE = {"rank": 4, "alpha": 8, "epochs": 1, "pack_tokens": 512, "tokens_per_step": 512, "learning_rate": 5e-3}


@pytest.mark.parametrize(
    "value",
    ["hi", [{"role": "user", "content": "hi"}], {"messages": [{"role": "user", "content": "hi"}]}, {"messages": "hi"}],
)
def test_a_text_a_list_and_an_object_mean_the_same_messages(value: object) -> None:
    assert messages_of(value) == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("value", [None, 3, [], {}, {"messages": []}, {"text": "hi"}, [{"role": "user"}], ["hi"]])
def test_any_other_input_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError, match=r"Expected|validation error"):
        messages_of(value)


def test_served_it_asks_the_engine() -> None:
    asked: list[list[dict[str, str]]] = []

    def complete(messages: list[dict[str, str]]) -> str:
        asked.append(messages)
        return "Check the cable."

    wrapper: ModelWrapper = LoraWrapper(complete=complete)
    assert wrapper.predict({"input": "My printer is silent.", "user_id": "u1", "features": {}}) == "Check the cable."
    assert asked == [[{"role": "user", "content": "My printer is silent."}]]


@pytest.mark.slow
def test_alone_it_generates_with_base_and_adapter(tiny_model: Path, tmp_path: Path) -> None:
    save_adapter(attach(load_base(tiny_model), Recipe(rank=4, alpha=8)), tmp_path, "tiny")
    plain, adapted = LoraWrapper(tiny_model), LoraWrapper(tiny_model)
    adapted.load(str(tmp_path))
    reply = plain.predict({"input": "hello"})
    assert isinstance(reply, str)
    assert adapted.predict({"input": "hello"}) == reply, "a fresh adapter changes nothing"


def test_a_folder_without_an_adapter_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 0"):
        LoraWrapper().load(str(tmp_path))


def test_without_a_base_it_says_what_it_lacks() -> None:
    with pytest.raises(ValueError, match="folder of a base model"):
        LoraWrapper().predict({"input": "hello"})


@pytest.mark.slow
def test_train_gives_a_run_that_holds_the_adapter_and_evaluate_logs_its_metrics(
    tiny_model: Path, tmp_path: Path
) -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.create_experiment("tiny", artifact_location=(tmp_path / "artifacts").as_uri())
    wrapper = LoraWrapper(tiny_model)
    config = {"recipe": RECIPE, "experiment": "tiny"}
    run_id = wrapper.train(short_conversations(8), {**config, "output_dir": tmp_path / "adapter"})
    client = mlflow.MlflowClient()
    assert client.get_run(run_id).info.status == "FINISHED"
    assert len(client.get_metric_history(run_id, "loss")) == int(client.get_run(run_id).data.metrics["steps"])
    wrapper.load(f"runs:/{run_id}/adapter")
    metrics = wrapper.evaluate(short_conversations(8), config)
    assert metrics["loss"] < metrics["base_loss"]
    newest = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])[0]
    assert newest.data.metrics == pytest.approx(metrics)


@pytest.mark.slow
def test_train_demands_a_folder_for_its_adapter(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="output_dir"):
        LoraWrapper(tiny_model).train([], {})


@pytest.mark.slow
def test_a_config_with_an_unknown_key_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="learning_speed"):
        LoraWrapper(tiny_model).train([], {"learning_speed": 3})
