"""The tables of the store; what a migration builds must equal them."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

metadata = MetaData()

Serial = BigInteger().with_variant(Integer(), "sqlite")
Name = String(255)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware on both sides of both databases, always UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def utc_now() -> datetime:
    return datetime.now(UTC)


versions = Table(
    "versions",
    metadata,
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    # true or NULL, and unique: the database itself allows one unfinished version
    Column("in_flight", Boolean, unique=True),
    Column("desired", String(8), nullable=False),
    Column("parent", Integer),
    Column("method", String(32), nullable=False),
    Column("base_fingerprint", Name, nullable=False),
    Column("owner", Name),
    Column("fence", Integer, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("released", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error_class", Name),
    Column("error", Text),
    Column("stage", String(32)),
    Column("settings", JSON, nullable=False),
    Column("counts", JSON, nullable=False),
    # under which rules, masks and limits its conversations were screened
    Column("screened_with", JSON),
    Column("dataset_hash", Name),
    Column("training", JSON, nullable=False),
    Column("adapter_sha256", Name),
    Column("mlflow_run_id", Name),
    Column("mlflow_version", Name),
    Column("verdict", Text),
    Column("report_path", Text),
    Column("override_reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    # no champion any more, or never to be one; only a roll back makes it one again
    Column("archived_at", UtcDateTime),
    CheckConstraint("state IN ('open','trained','promoted','rejected','failed','abandoned')", name="known_state"),
    CheckConstraint("desired IN ('run','stop')", name="known_desire"),
    CheckConstraint(
        "(state IN ('open','trained') AND in_flight IS NOT NULL) OR "
        "(state NOT IN ('open','trained') AND in_flight IS NULL)",
        name="in_flight_is_unfinished",
    ),
    CheckConstraint("in_flight IS NULL OR in_flight", name="in_flight_is_true_or_null"),
)
# counting models and finding a page of them reads this index alone
Index(
    "with_adapter",
    versions.c.n,
    versions.c.state,
    versions.c.base_fingerprint,
    versions.c.adapter_sha256,
    sqlite_where=text("adapter_sha256 IS NOT NULL"),
    postgresql_where=text("adapter_sha256 IS NOT NULL"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", Name, nullable=False, unique=True),
    Column("user_id", Name),
    Column("session_id", Name),
    Column("thread_id", Name),
    Column("source", Name, nullable=False),
    Column("provenance", String(16), nullable=False),
    Column("model", Name),
    Column("complete", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("eligible", Boolean, nullable=False),
    Column("reason", String(64)),
    Column("version", Integer, ForeignKey("versions.n")),
    Column("side", String(16)),
    Column("findings", JSON, nullable=False),
    Column("rejected", Boolean, nullable=False),
    Column("rating", Integer),
    Column("thumb", Integer),
    # the first member of its near-duplicate cluster
    Column("cluster", Serial),
    Column("tokens", Integer),
    Column("language", String(8)),
    Column("quality", Float),
    Column("quality_parts", JSON),
    # what was masked: {kind: how many}
    Column("personal", JSON),
    # of what is trained on, where masking made it another text than the one stored
    Column("masked_hash", String(64)),
    Column("released_at", UtcDateTime),
    Column("released_by", Name),
    # the rules that whoever released it has overruled
    Column("overruled", JSON),
    CheckConstraint("version IS NULL OR eligible", name="only_eligible_are_claimed"),
    sqlite_autoincrement=True,
)
# apart, so that whatever counts, finds or claims conversations reads narrow rows only
texts = Table(
    "texts",
    metadata,
    Column("seq", Serial, ForeignKey("conversations.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("messages", JSON, nullable=False),
    Column("reply", Text, nullable=False),
)
_c = conversations.c
# the arbiter of "distinct by exact hash", whoever captures at the same moment
Index("distinct_eligible", _c.hash, unique=True, sqlite_where=text("eligible = 1"), postgresql_where=text("eligible"))
Index(
    "waiting",
    _c.eligible,
    _c.version,
    sqlite_where=text("eligible = 1 AND version IS NULL"),
    postgresql_where=text("eligible AND version IS NULL"),
)
# what becomes eligible when the one it repeats is gone
Index(
    "duplicates",
    _c.hash,
    _c.seq,
    sqlite_where=text("reason = 'duplicate'"),
    postgresql_where=text("reason = 'duplicate'"),
)
# in the order in which counts groups, so that it reads this index alone
Index("standing", _c.complete, _c.eligible, _c.reason, _c.rejected, _c.version)
Index("by_version", _c.version, _c.seq)
Index("by_cluster", _c.cluster, _c.side)
Index(
    "by_masked_hash",
    _c.masked_hash,
    sqlite_where=text("masked_hash IS NOT NULL"),
    postgresql_where=text("masked_hash IS NOT NULL"),
)
Index("by_eligible", _c.eligible, _c.seq)
Index("by_user", _c.user_id, _c.seq)
Index("by_session", _c.session_id, _c.seq)
Index("by_source", _c.source, _c.seq)
# what a person has to look at: rejected by screening, or held back with somebody's number in it
TO_REVIEW = "rejected OR reason = 'personal_data'"
Index("to_review", _c.seq, sqlite_where=text(TO_REVIEW), postgresql_where=text(TO_REVIEW))

feedback = Table(
    "feedback",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("conversation_id", Name, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("rating", Integer),
    Column("thumb", Integer),
    Column("comment", Text),
    Column("corrected_reply", Text),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("rating IS NULL OR thumb IS NULL", name="rating_or_thumb"),
    sqlite_autoincrement=True,
)

# who stands under which hash of a band; no foreign key, which would need an index by conversation to be quick
bands = Table(
    "bands",
    metadata,
    Column("hash", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", Serial, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
# sorted runs that are not in the table above yet, each as its hashes and then its conversations, 8 bytes a number
band_runs = Table(
    "band_runs",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("members", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
# one row: what the hashes of all bands were made with
band_signature = Table("band_signature", metadata, Column("version", String(64), primary_key=True))

units = Table(
    "units",
    metadata,
    Column("unit", String(512), primary_key=True),
    Column("side", String(16), nullable=False),
)

triggers = Table(
    "triggers",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("force", Boolean, nullable=False),
    Column("params", JSON, nullable=False),
    Column("idempotency_key", Name, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("version", Integer, ForeignKey("versions.n"), index=True),
    Column("cancelled_at", UtcDateTime),
    sqlite_autoincrement=True,
)

progress = Table(
    "progress",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("version", Integer, ForeignKey("versions.n"), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("stage", String(32), nullable=False),
    Column("step", Integer, nullable=False),
    Column("total_steps", Integer, nullable=False),
    Column("loss", Float),
    Column("learning_rate", Float),
    Column("tokens_per_second", Float),
    Column("eta_seconds", Float),
    # after the steps where it was measured
    Column("validation_loss", Float),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)
Index("progress_of_version", progress.c.version, progress.c.id)

champions = Table(
    "champions",
    metadata,
    Column("lineage", Name, primary_key=True),
    Column("n", Integer, ForeignKey("versions.n")),
    Column("previous", Integer, ForeignKey("versions.n")),
    Column("seq", Integer, nullable=False),
    Column("alias_confirmed", Integer),
    # what is being written to the registry; equal to what is confirmed, but for the moment between
    Column("alias_intended", Integer),
    Column("served", Integer),
    Column("changed_at", UtcDateTime),
)

# every change of champion, for longer than events are kept
champion_moves = Table(
    "champion_moves",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("lineage", Name, nullable=False),
    Column("n", Integer, ForeignKey("versions.n")),
    Column("previous", Integer, ForeignKey("versions.n")),
    Column("reason", Text, nullable=False),
    Column("moved_by", Name, nullable=False),
    Column("override", Boolean, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)
Index("moves_to", champion_moves.c.n, champion_moves.c.id)
Index("moves_from", champion_moves.c.previous, champion_moves.c.id)

# the name that a person gave a version; one that has none is a model all the same
models = Table(
    "models",
    metadata,
    Column("n", Integer, ForeignKey("versions.n"), primary_key=True, autoincrement=False),
    Column("model_name", Name, nullable=False),
    Column("version", String(64), nullable=False),
    Column("base_model", Text),
    Column("registered_at", UtcDateTime, nullable=False),
    # how often it was named or tagged, and how many of these the registry was told of
    Column("changes", Integer, nullable=False),
    Column("told", Integer, nullable=False),
)
Index("one_model_a_name", models.c.model_name, models.c.version, unique=True)
model_tags = Table(
    "model_tags",
    metadata,
    Column("tag", String(50), primary_key=True),
    Column("n", Integer, ForeignKey("models.n"), primary_key=True, autoincrement=False),
)
Index("tags_of_model", model_tags.c.n)

# versions that a person wants held in every engine
pins = Table(
    "pins",
    metadata,
    Column("n", Integer, ForeignKey("versions.n"), primary_key=True, autoincrement=False),
    Column("pinned_at", UtcDateTime, nullable=False),
)

benchmarks = Table(
    "benchmarks",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("n", Integer, ForeignKey("versions.n"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("score", Float, nullable=False),
    Column("details", JSON, nullable=False),
    Column("idempotency_key", Name),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("score >= 0 AND score <= 1", name="score_in_range"),
    sqlite_autoincrement=True,
)
Index("benchmarks_of_model", benchmarks.c.n, benchmarks.c.name, benchmarks.c.id)
Index("one_benchmark_a_key", benchmarks.c.n, benchmarks.c.idempotency_key, unique=True)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("n", Integer, ForeignKey("versions.n"), nullable=False),
    Column("upload", Serial, ForeignKey("uploads.id")),
    Column("metrics", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    # the attempt is its fence: who finishes must still have the last one
    Column("attempts", Integer, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("compared_with", Integer),
    Column("verdict", Text),
    Column("figures", JSON, nullable=False),
    Column("error", Text),
    Column("idempotency_key", Name),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    CheckConstraint("state IN ('waiting','running','done','failed')", name="known_evaluation"),
    sqlite_autoincrement=True,
)
Index("evaluations_of_model", evaluations.c.n, evaluations.c.id)
Index("evaluations_by_state", evaluations.c.state, evaluations.c.id)
Index("one_evaluation_a_key", evaluations.c.n, evaluations.c.idempotency_key, unique=True)

settings = Table(
    "settings",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", JSON, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("changed_by", Name, nullable=False),
)

pauses = Table(
    "pauses",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("after_version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("cleared_at", UtcDateTime),
    Column("cleared_by", Name),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("timestamp", UtcDateTime, nullable=False),
    Column("type", String(64), nullable=False),
    Column("version", Integer),
    Column("message", Text, nullable=False),
    Column("data", JSON, nullable=False),
    sqlite_autoincrement=True,
)
Index("events_by_type", events.c.type, events.c.id)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Serial, ForeignKey("events.id"), primary_key=True, autoincrement=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    Column("outcome", String(16)),
    Column("error", Text),
)
Index("outbox_waiting", outbox.c.id, sqlite_where=text("closed_at IS NULL"), postgresql_where=text("closed_at IS NULL"))

reviews = Table(
    "reviews",
    metadata,
    Column("seq", Serial, ForeignKey("conversations.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("status", String(16), nullable=False),
    # a correction that waits to be released; JSON null and SQL NULL are the same here
    Column("messages", JSON(none_as_null=True)),
    Column("reply", Text),
    Column("findings", JSON, nullable=False),
    Column("version", Integer),
    Column("released_id", Name),
    Column("decided_by", Name),
    Column("reason", Text),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("status IN ('waiting','released','dismissed')", name="known_review"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("name", Name, nullable=False),
    Column("version", String(64), nullable=False),
    Column("format", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("file_name", Name, nullable=False),
    Column("extension", String(16), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("mapping", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("dataset_metadata", JSON, nullable=False),
    Column("stats", JSON, nullable=False),
    Column("quality_score", Float),
    Column("ingested", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("status IN ('uploaded','validated','invalid','preprocessed','deleted')", name="known_upload"),
    CheckConstraint("kind IN ('training','golden')", name="known_kind"),
    sqlite_autoincrement=True,
)
Index("uploads_by_status", uploads.c.status, uploads.c.id)

quality_logs = Table(
    "quality_logs",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("upload", Serial, ForeignKey("uploads.id", ondelete="CASCADE"), nullable=False),
    Column("is_valid", Boolean, nullable=False),
    Column("quality_score", Float),
    Column("total", Integer, nullable=False),
    Column("valid", Integer, nullable=False),
    Column("pii", JSON, nullable=False),
    Column("duplicates", JSON, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("checks", JSON, nullable=False),
    Column("rules_version", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)
Index("quality_logs_of_upload", quality_logs.c.upload, quality_logs.c.id)

quality_findings = Table(
    "quality_findings",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("log", Serial, ForeignKey("quality_logs.id", ondelete="CASCADE"), nullable=False),
    Column("line", Integer),
    Column("column", Integer),
    Column("rule", String(64), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("message", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("findings_of_log", quality_findings.c.log, quality_findings.c.id)

# one row: up to which conversation contact data is masked for its age, and by which rules
retained = Table(
    "retained",
    metadata,
    Column("masked_to", BigInteger, primary_key=True, autoincrement=False),
    Column("rules_version", String(64), nullable=False),
)

# `user_id` and `names` only until every file is swept; the salted digest stays, for backups that are restored later
erasures = Table(
    "erasures",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("user_id", Name),
    Column("names", JSON, nullable=False),
    Column("salt", String(32), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("versions", JSON, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("swept_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    sqlite_autoincrement=True,
)

experiments = Table(
    "experiments",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("lineage", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("design", JSON, nullable=False),
    Column("salt", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    # true or NULL, and unique a lineage: two experiments over the same traffic would judge each other
    Column("running", Boolean),
    Column("looks", JSON, nullable=False),
    Column("results", JSON),
    Column("winner", String(32)),
    Column("reason", Text),
    Column("ended_by", Name),
    # the version that passed its gate meanwhile, and the champion it was compared with
    Column("staged", Integer, ForeignKey("versions.n")),
    Column("staged_against", Integer, ForeignKey("versions.n")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    CheckConstraint("status IN ('draft','running','stopped','completed')", name="known_status"),
    CheckConstraint(
        "(status = 'running' AND running IS NOT NULL AND running) OR (status <> 'running' AND running IS NULL)",
        name="running_is_true_or_null",
    ),
    sqlite_autoincrement=True,
)
Index("one_running", experiments.c.lineage, experiments.c.running, unique=True)

exposures = Table(
    "exposures",
    metadata,
    Column("experiment", Serial, ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("unit", String(512), primary_key=True),
    Column("arm", String(32), nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
)
Index("exposures_of_unit", exposures.c.unit)

experiment_logs = Table(
    "experiment_logs",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("experiment", Serial, ForeignKey("experiments.id", ondelete="CASCADE"), nullable=False),
    Column("unit", String(512), nullable=False),
    Column("arm", String(32), nullable=False),
    Column("user_id", Name),
    Column("session_id", Name),
    # of a reply that was served here; its rating and correction stand beside its conversation
    Column("conversation_id", Name),
    Column("query", Text),
    Column("response", Text),
    Column("seconds", Float),
    Column("length", Integer),
    Column("failed", Boolean, nullable=False),
    Column("rating", Integer),
    Column("comment", Text),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("rating IS NULL OR (rating >= 1 AND rating <= 5)", name="rating_in_range"),
    sqlite_autoincrement=True,
)
Index("logs_of_experiment", experiment_logs.c.experiment, experiment_logs.c.id)
Index("logs_of_unit", experiment_logs.c.unit)
# a reply is counted once, however often it is handed over
Index("one_log_a_reply", experiment_logs.c.experiment, experiment_logs.c.conversation_id, unique=True)
