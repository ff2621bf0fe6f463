"""The sections that every room may need."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, SecretStr

from kit.settings.section import Section
from kit.settings.target import Target

AppEnv = Literal["dev", "local", "test", "stage", "prod"]


def _dev(value: AppEnv) -> AppEnv:
    return "dev" if value == "local" else value


class CoreSettings(Section):
    """The process: where it runs and how it writes its log."""

    app_env: Annotated[AppEnv, AfterValidator(_dev)] = "dev"
    """Kind of installation; `local` means `dev`. `prod` refuses settings that are only safe on a desk."""
    agent_data_dir: Path = Path("data")
    """Directory of this node: journals, blobs, embedded PostgreSQL, generated keys."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log lines to write."""
    log_format: Literal["json", "console"] = "json"
    """One JSON object per line, or coloured lines for a person."""
    pii_masking_enabled: bool = False
    """Whether e-mail addresses, telephone numbers, card numbers, public IP addresses and long tokens that slip into log
    lines are replaced by pseudonyms: `<phone 5be01c7a>`, the same for the same number in every room that has the same
    MESH_SHARED_SECRET or first service key."""
    readiness_fail_fast_in_prod: bool = True
    """Whether a failed readiness check at the start ends the process when APP_ENV=prod."""

    @property
    def is_prod(self) -> bool:
        """Whether this is a production installation."""
        return self.app_env == "prod"

    @property
    def fail_fast(self) -> bool:
        """Whether a failed readiness check at the start must end the process."""
        return self.is_prod and self.readiness_fail_fast_in_prod


class DatabaseSettings(Section):
    """PostgreSQL."""

    database_url: SecretStr | None = None
    """Address of the database, `postgresql://user:password@host:5432/name`; unset: the node's embedded PostgreSQL."""


class QueueSettings(Section):
    """Work after a meeting."""

    queue_mode: Literal["postgres", "inline"] = "postgres"
    """Who does it: any worker of the queue (`postgres`), or the process that a step commits in, at once and step after
    step (`inline`); FinishMeeting and RebuildReport then answer when the report is there, or when their deadline is
    near. Either way every step is a row in PostgreSQL before it begins, and a crash leaves it for the next start."""

    @property
    def inline(self) -> bool:
        """Whether steps follow each other in one process."""
        return self.queue_mode == "inline"


class TelemetrySettings(Section):
    """Traces."""

    otel_enabled: bool = False
    """Whether spans are exported; without a reachable collector the room works on."""
    otel_exporter_otlp_endpoint: str = "http://127.0.0.1:4318"
    """Base address of an OTLP/HTTP collector."""


class RpcSettings(Section):
    """gRPC servers."""

    grpc_event_engine: bool = False
    """Use gRPC's event engine; it costs 1.5 to 2 times the processor time per stream message."""
    grpc_grace_seconds: PositiveFloat = 20.0
    """Time for open calls to finish and resources to close after SIGTERM; keep it below the pod's."""
    grpc_reflection_enabled: bool = True
    """Whether authenticated callers may read the contract from the server."""
    readiness_interval_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    """Time between two readiness checks."""


class TargetSettings(Section):
    """Where the rooms are.

    Replicas of a room are given as addresses with commas between (`10.0.0.7:8021,10.0.0.8:8021`) or as one name that
    resolves to all of them (`dns:///ingest:8021`). They are called in turn; one that is dead is passed over.
    """

    ingest_target: Target = "127.0.0.1:8021"
    """gRPC address of ingest; several replicas with commas between, or `dns:///name:port`."""
    stt_target: Target = "127.0.0.1:8022"
    """gRPC address of speech recognition; replicas as for ingest."""
    connector_target: Target = "127.0.0.1:8023"
    """gRPC address of the connector; replicas as for ingest."""
    report_target: Target = "127.0.0.1:8024"
    """gRPC address of the reports; replicas as for ingest."""
    gateway_target: Target = "127.0.0.1:8011"
    """gRPC address of the gateway, for the console; replicas as for ingest."""
    gateway_url: str = "http://127.0.0.1:8010"
    """HTTP address of the gateway."""
