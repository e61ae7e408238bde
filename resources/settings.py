"""Start settings: environment, then `.env`, then `config.yaml`, then the default; read by the roots alone."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from core.caps import Caps
from core.duplicates import THRESHOLD
from core.learning_rates import default_rate
from core.live_settings import AnswerWith, LiveSettings
from core.recipe import ALL_LINEAR, Method, Recipe, Schedule, StartFrom
from core.scheduling import MAX_ATTEMPTS
from core.verdict import GateThresholds
from resources.base_model import BUNDLED
from resources.recognisers import DataRecogniser
from resources.settings_errors import sentence
from resources.settings_fields import as_variable, is_loopback, like, sqlite_absolute, sync_driver
from resources.trainer import SILENCE_SECONDS

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20


class SettingsError(ValueError):
    """A setting that cannot be used; the message says which, what was expected and what to do."""


class Settings(BaseSettings):
    """Every setting with its range; what is changed live in the store wins over the values of `live()`."""

    model_config = SettingsConfigDict(
        env_file=ROOT / ".env",
        yaml_file=ROOT / "config.yaml",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    # --- where everything lies
    state_dir: Path = Field(
        default=Path("var"), validate_default=True, description="Folder of all state; relative to the repository"
    )
    models_dir: Path = Field(
        default=Path("var/models"),
        validate_default=True,
        description="Folder of prepared base models, shared by all states",
    )
    database_url: str = Field(
        default="",
        validate_default=True,
        description="Conversation store: sqlite:///path or postgresql://user:password@host/name; "
        "empty: whetstone.db in STATE_DIR",
    )
    mlflow_tracking_uri: str = Field(
        default="",
        validate_default=True,
        description="MLflow store: sqlite:///path or http(s)://server; empty: mlflow.db in STATE_DIR",
    )
    mlflow_model_name: str = Field(
        default="whetstone", pattern=r"^[A-Za-z0-9_-]{1,255}$", description="Name of the registered model in MLflow"
    )
    mlflow_model_stage: str = Field(
        default="Production",
        pattern=r"^[A-Za-z]{1,64}$",
        description="Stage whose version answers /predict; in lower case an alias in MLflow: Production is the "
        "champion, Staging the candidate, Previous the champion before",
    )
    mlflow_experiment_name: str = Field(
        default="", description="MLflow experiment of the runs; empty: finetuning_ and the base model's name"
    )

    # --- the model
    base_model: str = Field(
        default=BUNDLED,
        min_length=1,
        description="Base model: the bundled one, a Hugging Face folder, or a Hub id (owner/name)",
    )
    huggingface_token: SecretStr | None = Field(
        default=None, description="Token for gated models on the Hugging Face Hub"
    )
    hf_token: SecretStr | None = Field(
        default=None, description="The same under its other name; HUGGINGFACE_TOKEN wins"
    )

    # --- start values of what can be changed live
    finetune_enabled: bool = like(LiveSettings, "finetune_enabled")
    finetune_auto_trigger: bool = like(LiveSettings, "finetune_auto_trigger")
    finetune_batch_size: int = like(LiveSettings, "finetune_batch_size")
    finetune_epochs: int = like(LiveSettings, "finetune_epochs")
    finetune_min_interval_seconds: int = like(LiveSettings, "finetune_min_interval_seconds")
    finetune_webhook_url: SecretStr | None = Field(
        default=None, description="Slack, Discord or other address that is told of runs and verdicts; empty: none"
    )
    conversation_collection_enabled: bool = like(LiveSettings, "conversation_collection_enabled")
    finetune_method: Method = like(LiveSettings, "finetune_method")
    start_from: StartFrom = like(LiveSettings, "start_from", "What an adapter starts from: base or champion")
    answer_with: AnswerWith = like(LiveSettings, "answer_with", "Who answers: student (local model), teacher, or auto")

    # --- the teacher
    openai_api_key: SecretStr | None = Field(
        default=None, description="Key of the teacher, an OpenAI-compatible upstream"
    )
    openai_base_url: str = Field(
        default="",
        pattern=r"^(https?://.+)?$",
        description="Address of the teacher; empty: OpenAI's own when a key is set",
    )
    teacher_model: str = Field(default="gpt-4o-mini", min_length=1, description="Model the teacher is asked for")

    # --- the judge
    judge_model: str = Field(
        default="",
        max_length=255,
        description="Model that compares answers in the gate, OpenAI-compatible; it is sent our own questions, those "
        "of golden sets and the answers to them; empty: no judge",
    )
    judge_base_url: str = Field(
        default="", pattern=r"^(https?://.+)?$", description="Address of the judge; empty: OpenAI's own"
    )
    judge_api_key: SecretStr | None = Field(default=None, description="Key of the judge")

    # --- the recipe
    finetune_lora_rank: int = like(Recipe, "rank")
    finetune_lora_alpha: int = like(Recipe, "alpha")
    finetune_lora_dropout: float = like(Recipe, "dropout")
    finetune_lora_targets: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9_.-]+(,[A-Za-z0-9_.-]+)*)?$",
        description="Linear layers that the adapter changes, by the ends of their names and with commas between; "
        "empty: all of them",
    )
    finetune_learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Peak learning rate; empty: by the size of the base, 0.001 up to half a billion parameters, 0.0005 "
        "up to four, 0.0002 above, and a tenth of that for a whole model",
    )
    finetune_warmup_share: float = like(Recipe, "warmup_share")
    finetune_schedule: Schedule = like(Recipe, "schedule")
    finetune_weight_decay: float = like(Recipe, "weight_decay")
    finetune_gradient_clip: float = like(Recipe, "gradient_clip")
    finetune_pack_tokens: int = like(Recipe, "pack_tokens")
    finetune_tokens_per_step: int = like(Recipe, "tokens_per_step")
    finetune_max_length: int = like(Recipe, "max_length")
    finetune_replay_share: float = like(Recipe, "replay_share")
    finetune_seed: int = like(Recipe, "seed")
    finetune_gradient_checkpointing: bool = like(Recipe, "gradient_checkpointing")
    finetune_patience: int = like(Recipe, "patience")
    finetune_rate_factors: str = Field(
        default="",
        pattern=r"^([0-9]+(\.[0-9]+)?(,[0-9]+(\.[0-9]+)?)*)?$",
        description="Multiples of the learning rate, with commas between, that are tried on a quarter of the "
        "conversations first (0.3,1,2, say); the one with the least validation loss is trained with; empty: none",
    )
    finetune_preference_rate: float = like(Recipe, "preference_rate")
    finetune_preference_beta: float = like(Recipe, "preference_beta")
    finetune_preference_epochs: int = like(Recipe, "preference_epochs")
    finetune_min_corrections: int = Field(
        default=20, ge=1, le=100_000, description="Corrected replies below which dpo trains as lora does"
    )
    finetune_min_ratings: int = Field(
        default=500, ge=2, le=1_000_000, description="Rated replies below which kto trains as lora does"
    )
    finetune_min_blamed: int = Field(
        default=100, ge=1, le=1_000_000, description="Blamed replies among them below which kto trains as lora does"
    )
    per_device_train_batch_size: int | None = Field(
        default=None, ge=1, le=1024, description="Packed rows in memory at once; empty: FINETUNE_TOKENS_PER_STEP counts"
    )
    gradient_accumulation_steps: int | None = Field(
        default=None, ge=1, le=1024, description="Batches summed for one step; empty: FINETUNE_TOKENS_PER_STEP counts"
    )
    finetune_processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that train one version together (its preferences one alone), each on a GPU of its own, "
        "or with its share of the cores where there is none; a step should hold as many packed rows",
    )
    finetune_max_attempts: int = Field(
        default=MAX_ATTEMPTS,
        ge=1,
        le=100,
        description="Attempts at one version, each begun again after a longer pause, after which it is failed and its "
        "conversations wait again",
    )
    checkpoint_seconds: float = Field(default=15, gt=0, le=3600, description="Seconds between two training checkpoints")
    checkpoint_keep: int = Field(
        default=2, ge=1, le=100, description="Training checkpoints that are kept of a version, and the best beside them"
    )
    lease_seconds: float = Field(
        default=15, ge=2, le=600, description="Silence after which a run counts as dead and its version is taken over"
    )
    trainer_silence_seconds: float = Field(
        default=SILENCE_SECONDS,
        ge=60,
        le=86_400,
        description="Time without a step of training, or a part of an evaluation, after which the trainer counts as "
        "hung: it is ended, and the version tried again from its last checkpoint",
    )

    # --- the dataset
    data_near_duplicate_threshold: float = Field(
        default=THRESHOLD,
        ge=0.7,
        le=1,
        description="Share of 5-letter pieces from which on two conversations are near-duplicates; "
        "below 0.8 some pairs are missed",
    )
    data_recogniser: DataRecogniser = Field(
        default="none",
        description="Who finds names and places, for which no rule can: none, or presidio, a package that is installed "
        "with requirements/recognisers.in",
    )
    data_max_per_user: int = like(Caps, "per_user")
    data_max_per_cluster: int = like(Caps, "per_cluster")
    data_max_self_share: float = like(Caps, "self_share")
    data_self_allowed: int = like(Caps, "self_allowed")
    data_max_refusal_share: float = like(Caps, "refusal_share")

    # --- the gate
    gate_alpha: float = like(GateThresholds, "alpha")
    gate_min_held_out: int = like(GateThresholds, "min_held_out")
    gate_exact_below: int = like(GateThresholds, "exact_below")
    gate_superiority_margin: float = like(GateThresholds, "superiority_margin")
    gate_base_margin: float = like(GateThresholds, "base_margin")
    gate_general_margin: float = like(GateThresholds, "general_margin")
    gate_bootstrap_draws: int = like(GateThresholds, "bootstrap_draws", "Draws of the clustered bootstrap")
    gate_power_effect: float = like(GateThresholds, "power_effect")
    gate_min_probes: int = like(GateThresholds, "min_probes")
    gate_degenerate_margin: float = like(GateThresholds, "degenerate_margin")
    gate_max_leaks: int = like(GateThresholds, "max_leaks")
    gate_task_margin: float = like(GateThresholds, "task_margin")
    gate_safety_margin: float = like(GateThresholds, "safety_margin")
    gate_over_refusal_margin: float = like(GateThresholds, "over_refusal_margin")
    gate_sycophancy_margin: float = like(GateThresholds, "sycophancy_margin")
    gate_canary_alpha: float = like(GateThresholds, "canary_alpha")
    gate_trigger_lift: float = like(GateThresholds, "trigger_lift")
    gate_reference_margin: float = like(GateThresholds, "reference_margin")
    gate_golden_margin: float = like(GateThresholds, "golden_margin")
    gate_judge_margin: float = like(GateThresholds, "judge_margin")
    gate_latency_ratio: float = like(GateThresholds, "latency_ratio")
    gate_size_share: float = like(GateThresholds, "size_share")

    # --- the engine
    engine_threads: int = Field(default=0, ge=0, le=1024, description="CPU threads of the engine; 0: vLLM's own choice")
    engine_kv_cache_bytes: int = Field(
        default=512 * MIB, ge=64 * MIB, le=2**40, description="Memory for the attention cache on CPU, in bytes"
    )
    engine_context_tokens: int = Field(
        default=2048, ge=256, le=1_048_576, description="Longest prompt and reply together"
    )
    engine_max_sequences: int = Field(default=8, ge=1, le=1024, description="Requests the engine works on at once")
    engine_batch_tokens: int = Field(
        default=512, ge=64, le=65_536, description="Tokens the engine computes in one step"
    )
    engine_adapters: int = Field(
        default=3, ge=2, le=64, description="Versions held in the engine at once: the champion, the one before, arms"
    )
    engine_fold_champion: bool = Field(
        default=True,
        description="On a CPU, keep the version with most of the traffic added into a second copy of the linear "
        "weights, so that it answers as fast as the base; takes as much memory as they do",
    )

    # --- where everything runs
    engine_replicas: int = Field(
        default=1, ge=1, le=64, description="Engines beside each other, each with every adapter; the least of them"
    )
    engine_max_replicas: int = Field(
        default=0, ge=0, le=64, description="Most engines where their number follows the load; 0: it stays"
    )
    engine_target_requests: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Requests each engine should be busy with where their number follows the load; empty: as "
        "ENGINE_MAX_SEQUENCES",
    )
    engine_gpu_fraction: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of a GPU that each engine takes; empty: 0.45 where there is a GPU; 0: it runs on the CPU",
    )
    engine_gpu_memory: float | None = Field(
        default=None,
        gt=0,
        le=0.95,
        description="Share of the GPU's memory that each engine takes, at most its share of the GPU; empty: as much",
    )
    second_engine_gpu_fraction: float = Field(
        default=0, ge=0, le=1, description="Share of a GPU of one more engine, of another size; 0: none"
    )
    agent_gpu_fraction: float = Field(default=0, ge=0, le=1, description="Share of a GPU that the agent takes")
    rest_gpu_fraction: float = Field(
        default=0, ge=0, le=1, description="Share of a GPU where Ray places nothing: for the trainer, say"
    )

    # --- bounds of what clients send
    max_body_bytes: int = Field(default=MIB, ge=1024, le=2**30, description="Largest request body")
    max_import_bytes: int = Field(default=64 * MIB, ge=1024, le=2**32, description="Largest body of a bulk import")
    max_upload_bytes: int = Field(
        default=100 * MIB, ge=1024, le=100 * MIB, description="Largest file of an uploaded dataset"
    )
    default_max_tokens: int = Field(
        default=256, ge=1, le=1_048_576, description="Reply length when the client names none"
    )
    max_tokens_limit: int = Field(default=1024, ge=1, le=1_048_576, description="Longest reply a client may ask for")
    max_concurrent_requests: int = Field(
        default=64, ge=1, le=10_000, description="Chats in work at once; more get 503 with Retry-After"
    )
    request_timeout_seconds: float = Field(default=120, gt=0, le=3600, description="Longest time one chat may take")
    first_token_timeout_seconds: float = Field(
        default=120, gt=0, le=3600, description="Longest wait for the first words of a streamed reply"
    )
    between_tokens_timeout_seconds: float = Field(
        default=60, gt=0, le=3600, description="Longest pause between two pieces of a streamed reply"
    )
    capture_queue: int = Field(
        default=1000, ge=1, le=1_000_000, description="Conversations that may wait for the store"
    )

    # --- the agent
    model_wrapper: Literal["langgraph", "lora"] = Field(
        default="langgraph", description="Who answers /predict and /invoke: the agent (langgraph), or the model (lora)"
    )
    agent_enabled: bool = Field(default=True, description="Serve the model name agent, in a process of its own")
    agent_model_name: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_-]{0,255}$",
        description="Registered model in MLflow whose graph the agent runs, under the alias of MLFLOW_MODEL_STAGE; its "
        "code is executed; empty: the built-in graph",
    )
    agent_max_steps: int = Field(default=12, ge=2, le=1000, description="Steps of the graph that one run may take")
    agent_timeout_seconds: float = Field(default=90, gt=0, le=3600, description="Longest time one run may take")
    agent_memory_messages: int = Field(default=40, ge=2, le=1000, description="Messages remembered of a thread")
    agent_memory_bytes: int = Field(default=65_536, ge=1024, le=MIB, description="Bytes remembered of a thread")
    agent_memory_threads: int = Field(
        default=100_000, ge=1, le=10_000_000, description="Threads remembered, those lately used"
    )
    agent_memory_days: int = Field(
        default=30, ge=0, le=36_500, description="Days after its last use at which a thread is forgotten; 0: never"
    )

    # --- how long things are kept
    conversation_retention_days: int = Field(
        default=0,
        ge=0,
        le=36_500,
        description="Age at which e-mail addresses, phone numbers and the like are masked in stored conversations, and "
        "those that may not be trained on, with copies of resets and texts of experiment logs, are deleted; 0: never",
    )
    event_retention_days: int = Field(
        default=90, ge=0, le=36_500, description="Age at which events are deleted; 0: never"
    )
    kept_champion_backups: int = Field(
        default=5, ge=1, le=10_000, description="Copies of champions kept in backups, the newest first"
    )
    kept_trainer_logs: int = Field(
        default=20, ge=1, le=10_000, description="Versions whose trainer logs are kept, the newest first"
    )

    # --- addresses and access
    host: str = Field(default="127.0.0.1", min_length=1, description="Address the ingress listens on")
    fastapi_port: int = Field(default=8000, ge=1, le=65535, description="Port of the ingress")
    dagster_port: int = Field(default=3000, ge=1, le=65535, description="Port of the Dagster page")
    mlflow_port: int = Field(default=5000, ge=1, le=65535, description="Port of the MLflow page")
    enable_auth: bool = Field(default=False, description="Ask for bearer tokens; needs API_KEY and ADMIN_API_KEY")
    api_key: SecretStr | None = Field(default=None, description="Bearer token of the chat and OpenAI routes")
    admin_api_key: SecretStr | None = Field(default=None, description="Bearer token of /mlops and /api/v1/admin")

    # --- features of predict, and logs
    data_loader_type: Literal["local"] = Field(
        default="local", description="Where features of users are looked up for /predict and /invoke; only local so far"
    )
    data_source_path: str = Field(
        default="", description="File or folder (Parquet, CSV, JSON Lines) with a column user_id; empty: no look-up"
    )
    feature_timeout_seconds: float = Field(
        default=0.5, gt=0, le=60, description="Longest time one look-up of features may take; it goes on without them"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="How much is logged")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment beats `.env` beats `config.yaml`."""
        return init_settings, env_settings, dotenv_settings, YamlConfigSettingsSource(settings_cls)

    @field_validator("state_dir", "models_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return ROOT / path.expanduser()

    @field_validator("database_url")
    @classmethod
    def _store_url(cls, url: str, info: ValidationInfo) -> str:
        return _sqlite_in_state(sync_driver(url), "whetstone.db", info)

    @field_validator("mlflow_tracking_uri")
    @classmethod
    def _mlflow_url(cls, url: str, info: ValidationInfo) -> str:
        return _sqlite_in_state(url, "mlflow.db", info)

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> "Settings":
        if self.enable_auth and not (self.api_key and self.admin_api_key):
            raise ValueError("ENABLE_AUTH=true needs API_KEY and ADMIN_API_KEY: set both, or set ENABLE_AUTH=false")
        if not self.enable_auth and not is_loopback(self.host):
            raise ValueError(
                f"HOST={self.host} is reachable from outside while ENABLE_AUTH=false: "
                "set ENABLE_AUTH=true with API_KEY and ADMIN_API_KEY, or HOST=127.0.0.1"
            )
        if 0 < self.engine_max_replicas < self.engine_replicas:
            raise ValueError(
                f"ENGINE_MAX_REPLICAS={self.engine_max_replicas} is less than ENGINE_REPLICAS={self.engine_replicas}: "
                "raise it, or set 0 for a number that stays"
            )
        if self.model_wrapper == "langgraph" and not self.agent_enabled and "model_wrapper" in self.model_fields_set:
            raise ValueError("MODEL_WRAPPER=langgraph needs the agent: set AGENT_ENABLED=true, or MODEL_WRAPPER=lora")
        if self.answer_with == "teacher" and not self.has_teacher:
            raise ValueError(
                "ANSWER_WITH=teacher needs a teacher: set OPENAI_API_KEY or OPENAI_BASE_URL, or ANSWER_WITH=student"
            )
        self.live()
        return self

    @property
    def has_teacher(self) -> bool:
        """Whether an upstream is configured."""
        return self.openai_api_key is not None or bool(self.openai_base_url)

    @property
    def wrapper(self) -> Literal["langgraph", "lora"]:
        """Who answers /predict: the model itself where the agent is switched off."""
        return self.model_wrapper if self.agent_enabled else "lora"

    @property
    def address(self) -> str:
        """Where the ingress is reached from this machine."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.fastapi_port}"

    @property
    def hub_token(self) -> str | None:
        """Token for the Hugging Face Hub, under either of its names."""
        token = self.huggingface_token or self.hf_token
        return token.get_secret_value() if token else None

    def live(self) -> LiveSettings:
        """Start values of the settings that can be changed while it runs."""
        return LiveSettings(**{name: getattr(self, name) for name in LiveSettings.model_fields})

    def recipe(self, live: LiveSettings, base_parameters: int) -> Recipe:
        """The recipe of the next version on a base of that size: method, epochs and start from the live settings."""
        chosen = {
            name: getattr(self, field)
            for name in Recipe.model_fields
            if (field := _recipe_field(name)) in type(self).model_fields
        }
        rows = [self.per_device_train_batch_size, self.gradient_accumulation_steps]
        if any(rows):
            chosen["tokens_per_step"] = self.finetune_pack_tokens * (rows[0] or 1) * (rows[1] or 1)
        if chosen["learning_rate"] is None:
            chosen["learning_rate"] = default_rate(base_parameters, live.finetune_method)
        chosen["targets"] = tuple(filter(None, self.finetune_lora_targets.split(","))) or ALL_LINEAR
        chosen["rate_factors"] = tuple(map(float, filter(None, self.finetune_rate_factors.split(","))))
        asked = {"method": live.finetune_method, "epochs": live.finetune_epochs, "start_from": live.start_from}
        return Recipe(**{**chosen, **asked})

    def caps(self) -> Caps:
        """How much of a dataset may come from one place."""
        limits = {name: getattr(self, f"data_max_{name}") for name in Caps.model_fields if name != "self_allowed"}
        return Caps(**limits, self_allowed=self.data_self_allowed)

    def gate_thresholds(self) -> GateThresholds:
        """Where the gate draws its lines."""
        names = [name for name in GateThresholds.model_fields if f"gate_{name}" in type(self).model_fields]
        return GateThresholds(**{name: getattr(self, f"gate_{name}") for name in names})

    def environment(self) -> dict[str, str]:
        """Variables that give a child process these settings, secrets in the clear."""
        return {name.upper(): as_variable(getattr(self, name)) for name in sorted(self.model_fields_set)}


def read_settings(kind: type[Settings] = Settings, **overrides: Any) -> Settings:
    """The settings of this machine; SettingsError names every key that is unknown, out of range or missing."""
    from yaml import YAMLError

    try:
        return kind(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(sentence(kind, found) for found in error.errors(include_url=False))) from None
    except (OSError, ValueError, YAMLError) as error:
        raise SettingsError(f"config.yaml or .env cannot be read: {' '.join(str(error).split())}") from None


def _sqlite_in_state(url: str, name: str, info: ValidationInfo) -> str:
    state_dir = info.data.get("state_dir", ROOT / "var")
    return sqlite_absolute(url, ROOT) if url else f"sqlite:///{state_dir / name}"


def _recipe_field(name: str) -> str:
    return f"finetune_lora_{name}" if name in {"rank", "alpha", "dropout", "targets"} else f"finetune_{name}"
