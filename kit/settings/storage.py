"""Settings of the blob store."""

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import SecretStr, model_validator

from kit.settings.section import Section

_MODES = {"local": "local_fs", "s3": "s3"}
_PREFIX = re.compile(r"([A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*)?")


class StorageSettings(Section):
    """The blob store."""

    storage_mode: Literal["local_fs", "shared_fs", "s3"] = "local_fs"
    """Where recordings and artifacts are kept: this machine, a shared file system, or S3."""
    storage_backend: Literal["local", "s3"] | None = None
    """Older name of STORAGE_MODE: `local` means `local_fs`. One of the two is enough."""
    storage_path: str | None = None
    """Directory of `local_fs` and `shared_fs`; unset: `blobs` in AGENT_DATA_DIR."""
    storage_require_shared_in_prod: bool = False
    """Whether STORAGE_MODE=local_fs keeps a room from being ready when APP_ENV=prod; for several machines."""
    storage_s3_bucket: str = ""
    """Bucket of STORAGE_MODE=s3; it must exist."""
    storage_s3_endpoint: str = ""
    """`http://host:port` or `https://host` of a server of your own (MinIO, Ceph, Garage, ...), addressed by path;
    unset: AWS."""
    storage_s3_region: str = "us-east-1"
    """Region of the bucket; servers of your own mostly take any."""
    storage_s3_prefix: str = ""
    """Put before every key, so that several installations can share a bucket."""
    storage_s3_access_key_id: str = ""
    """Access key; unset: found as AWS's own programs do (environment, instance or pod role)."""
    storage_s3_secret_access_key: SecretStr | None = None
    """Secret of the access key."""

    @model_validator(mode="before")
    @classmethod
    def _older_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("storage_backend") in _MODES:
            mode = _MODES[values["storage_backend"]]
            given = values.setdefault("storage_mode", mode)
            if given != mode and (given, mode) != ("shared_fs", "local_fs"):
                raise ValueError(
                    f"STORAGE_BACKEND: {values['storage_backend']} contradicts STORAGE_MODE={given}; unset one of them"
                )
        return values

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.storage_mode != "s3":
            return self
        if not self.storage_s3_bucket:
            raise ValueError("STORAGE_S3_BUCKET: STORAGE_MODE=s3 needs the name of a bucket")
        if bool(self.storage_s3_access_key_id) != bool(self.storage_s3_secret_access_key):
            raise ValueError(
                "STORAGE_S3_ACCESS_KEY_ID: STORAGE_S3_ACCESS_KEY_ID and STORAGE_S3_SECRET_ACCESS_KEY go together"
            )
        if self.storage_s3_endpoint and not self.storage_s3_endpoint.startswith(("http://", "https://")):
            raise ValueError("STORAGE_S3_ENDPOINT: must begin with http:// or https://")
        if not _PREFIX.fullmatch(self.storage_s3_prefix):
            raise ValueError(
                "STORAGE_S3_PREFIX: takes letters, digits and ._=- between slashes, with none at either end"
            )
        return self

    def directory(self, data_directory: Path) -> Path:
        """Return where blobs are kept on disk."""
        return Path(self.storage_path) if self.storage_path else data_directory / "blobs"

    def refusal(self, *, is_prod: bool) -> str:
        """Return why these settings must not serve in production; empty if they may."""
        if is_prod and self.storage_require_shared_in_prod and self.storage_mode == "local_fs":
            return (
                "STORAGE_MODE=local_fs is not allowed with APP_ENV=prod and STORAGE_REQUIRE_SHARED_IN_PROD=true: "
                "set shared_fs or s3"
            )
        return ""
