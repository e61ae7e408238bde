"""Start settings: which source wins, and one sentence for each mistake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from core.live_settings import LiveSettings
from core.recipe import Recipe
from core.verdict import GateThresholds
from resources.settings import ROOT, Settings, SettingsError, read_settings

BUNDLED_SIZE = 134_515_008


class Here(Settings):
    """Settings whose files lie in the current folder, so that a developer's own do not reach the tests."""

    model_config = SettingsConfigDict(env_file=Path(".env"), yaml_file=Path("config.yaml"))


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in os.environ:
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(Here)
    return str(caught.value)


def test_the_environment_beats_the_env_file_beats_the_yaml_file_beats_the_default(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_settings(Here).finetune_batch_size == 50
    (clean / "config.yaml").write_text("finetune_batch_size: 51\nfinetune_epochs: 4\n")
    assert read_settings(Here).finetune_batch_size == 51
    (clean / ".env").write_text("FINETUNE_BATCH_SIZE=52\n")
    assert read_settings(Here).finetune_batch_size == 52
    monkeypatch.setenv("FINETUNE_BATCH_SIZE", "53")
    assert read_settings(Here).finetune_batch_size == 53
    assert read_settings(Here).finetune_epochs == 4


@pytest.mark.parametrize(
    ("file", "content", "key"),
    [
        (".env", "FINETUNE_BATCHSIZE=10\n", "FINETUNE_BATCHSIZE"),
        ("config.yaml", "finetune_batchsize: 10\n", "finetune_batchsize"),
    ],
)
def test_an_unknown_key_is_refused_by_name_and_file_with_the_likely_one(
    clean: Path, file: str, content: str, key: str
) -> None:
    (clean / file).write_text(content)
    assert refusal().lower() == f"unknown setting {key} in {file}: did you mean finetune_batch_size?".lower()


def test_unknown_variables_of_the_machine_are_nobodys_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_BATCHSIZE", "10")
    assert read_settings(Here).finetune_batch_size == 50


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FINETUNE_BATCH_SIZE", "0"),
        ("FINETUNE_BATCH_SIZE", "100001"),
        ("FINETUNE_EPOCHS", "21"),
        ("FINETUNE_LEARNING_RATE", "nan"),
        ("FASTAPI_PORT", "65536"),
        ("ENGINE_GPU_FRACTION", "1.5"),
        ("GATE_ALPHA", "0.9"),
        ("DATA_LOADER_TYPE", "feature_store"),
        ("ANSWER_WITH", "nobody"),
        ("LOG_LEVEL", "LOUD"),
        ("ENABLE_AUTH", "perhaps"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name_and_what_was_found(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    message = refusal()
    assert message.startswith(f"Setting {name}: ")
    assert repr(value) in message


def test_every_mistake_is_named_at_once(clean: Path) -> None:
    (clean / ".env").write_text("FINETUNE_EPOCHS=0\nFASTAPI_PORT=x\nNONSENSE=1\n")
    assert len(refusal().splitlines()) == 3


def test_an_empty_value_means_the_default(clean: Path) -> None:
    (clean / ".env").write_text("OPENAI_API_KEY=\nFASTAPI_PORT=\n")
    settings = read_settings(Here)
    assert settings.openai_api_key is None
    assert settings.fastapi_port == 8000


@pytest.mark.parametrize("content", ["finetune_epochs: [\n", "- a list\n"])
def test_a_yaml_file_that_cannot_be_read_is_one_sentence(clean: Path, content: str) -> None:
    (clean / "config.yaml").write_text(content)
    assert refusal().startswith("config.yaml or .env cannot be read: ")
    assert len(refusal().splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sqlite+aiosqlite:////data/w.db", "sqlite:////data/w.db"),
        ("postgresql://u:p@h/w", "postgresql+psycopg://u:p@h/w"),
        ("postgresql+asyncpg://u:p@h/w", "postgresql+psycopg://u:p@h/w"),
        ("postgres://u:p@h/w", "postgresql+psycopg://u:p@h/w"),
        ("sqlite:///var/w.db", f"sqlite:///{ROOT}/var/w.db"),
    ],
)
def test_a_store_address_is_understood_whatever_driver_it_names(given: str, meant: str) -> None:
    assert Here(database_url=given).database_url == meant


def test_a_refused_address_does_not_repeat_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://user:hunter2@host/name")
    assert "mysql" in refusal()
    assert "hunter2" not in refusal()


def test_stores_lie_in_the_state_folder_unless_they_are_named(tmp_path: Path) -> None:
    settings = Here(state_dir=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/whetstone.db"
    assert settings.mlflow_tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert settings.models_dir == ROOT / "var/models", "the prepared models are shared by all states"


def test_paths_are_absolute_whichever_folder_a_process_was_started_in() -> None:
    assert Here(state_dir=Path("var/demo")).state_dir == ROOT / "var/demo"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "whetstone.example"])  # noqa: S104  refused
def test_listening_for_others_without_keys_is_refused(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HOST", host)
    assert refusal().startswith(f"HOST={host} is reachable from outside while ENABLE_AUTH=false: ")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_listening_for_oneself_needs_no_keys(host: str) -> None:
    assert Here(host=host).host == host


@pytest.mark.parametrize("keys", [{}, {"API_KEY": "a"}, {"ADMIN_API_KEY": "b"}])
def test_authentication_needs_both_keys(monkeypatch: pytest.MonkeyPatch, keys: dict[str, str]) -> None:
    for name, value in {"ENABLE_AUTH": "true", **keys}.items():
        monkeypatch.setenv(name, value)
    assert refusal().startswith("ENABLE_AUTH=true needs API_KEY and ADMIN_API_KEY")


def test_a_teacher_that_is_not_there_cannot_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWER_WITH", "teacher")
    assert refusal().startswith("ANSWER_WITH=teacher needs a teacher")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:11434/v1")
    assert read_settings(Here).has_teacher


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ADMIN_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "HUGGINGFACE_TOKEN"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("FINETUNE_WEBHOOK_URL", "https://hooks.example/hunter2")
    assert "hunter2" not in f"{read_settings(Here)!r}{read_settings(Here)}{read_settings(Here).model_dump_json()}"
    monkeypatch.setenv("FINETUNE_WEBHOOK_URL", "ftp://hunter2")
    assert "FINETUNE_WEBHOOK_URL" in refusal()
    assert "hunter2" not in refusal()


def test_the_first_of_two_hub_tokens_wins() -> None:
    assert Here(hf_token="second").hub_token == "second"
    assert Here(hf_token="second", huggingface_token="first").hub_token == "first"


def test_defaults_are_those_of_the_domain() -> None:
    settings = Here()
    assert settings.live() == LiveSettings()
    assert settings.recipe(LiveSettings(), BUNDLED_SIZE) == Recipe()
    assert settings.gate_thresholds() == GateThresholds()


def test_the_recipe_follows_the_settings_and_what_is_live() -> None:
    settings = Here(finetune_lora_rank=8, finetune_replay_share=0.1, finetune_epochs=2)
    recipe = settings.recipe(LiveSettings(finetune_epochs=5, start_from="champion"), BUNDLED_SIZE)
    assert (recipe.rank, recipe.replay_share, recipe.epochs, recipe.start_from) == (8, 0.1, 5, "champion")


def test_the_learning_rate_follows_the_size_of_the_base_unless_it_is_named() -> None:
    assert Here().recipe(LiveSettings(), 8_030_000_000).learning_rate == 2e-4
    assert Here(finetune_learning_rate=3e-3).recipe(LiveSettings(), 8_030_000_000).learning_rate == 3e-3


def test_the_method_is_live_and_its_layers_are_named_by_commas() -> None:
    settings = Here(finetune_lora_targets="q_proj,v_proj")
    recipe = settings.recipe(LiveSettings(finetune_method="qlora"), BUNDLED_SIZE)
    assert (recipe.method, recipe.targets) == ("qlora", ("q_proj", "v_proj"))


def test_factors_of_the_learning_rate_are_numbers_with_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Here(finetune_rate_factors="0.3,1,2").recipe(LiveSettings(), BUNDLED_SIZE).rate_factors == (0.3, 1.0, 2.0)
    monkeypatch.setenv("FINETUNE_RATE_FACTORS", "fast")
    with pytest.raises(SettingsError, match="FINETUNE_RATE_FACTORS"):
        read_settings(Here)


@pytest.mark.parametrize("wrong", ["q_proj,", "q proj", "../q"])
def test_names_of_layers_are_names(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("FINETUNE_LORA_TARGETS", wrong)
    with pytest.raises(SettingsError, match="FINETUNE_LORA_TARGETS"):
        read_settings(Here)


def test_batch_size_and_accumulation_set_the_tokens_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("per_device_train_batch_size", "4")
    monkeypatch.setenv("gradient_accumulation_steps", "8")
    settings = read_settings(Here)
    assert settings.recipe(settings.live(), BUNDLED_SIZE).tokens_per_step == 4 * 8 * settings.finetune_pack_tokens


@pytest.mark.slow
def test_a_child_process_with_the_environment_of_the_settings_reads_the_same_ones(tmp_path: Path) -> None:
    parent = Settings(state_dir=tmp_path, finetune_epochs=2, finetune_auto_trigger=False, api_key="k", host="localhost")
    script = (
        "from resources.settings import Settings; s = Settings(); print(s.model_dump(), s.api_key.get_secret_value())"
    )
    child = subprocess.run(
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"], **parent.environment()},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == f"{parent.model_dump()} k"
