"""Settings: flag over `HAYWAIN_*` environment over `--config` ini over default."""

import configparser
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from haywain.errors import DataDirectoryError
from haywain.values import GIB, MIB

LEAST_THREADS = 4
"""Half of the threads may wait for clients that read slowly; so many leave two for everybody else."""


class Settings(BaseSettings):
    """What an operator may set; each field is also the variable HAYWAIN_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="HAYWAIN_", extra="ignore", frozen=True)

    data: Path = Field(Path("var"), description="The data directory.")
    database: str = Field("", description="URI of the object database; default: file: in the data directory.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    zeo_host: str = Field("127.0.0.1", description="Address on which `haywain zeo` listens.")
    zeo_port: int = Field(8100, ge=0, le=65535, description="Its port; 0 picks a free one.")
    zeo_socket: str = Field("", description="Path of a UNIX socket to listen on instead.")
    admin_password: str = Field("", description="Password of the user admin at the first start.")
    threads: int = Field(64, ge=1, le=1024, description=f"Request threads; at least {LEAST_THREADS}.")
    connections: int = Field(4096, ge=16, le=65_536, description="Most connections that are open at once.")
    body_bytes: int = Field(64 * MIB, ge=1024, description="Largest body of an ingestion request.")
    decoded_bytes: int = Field(256 * MIB, ge=1024, description="Largest such body after decompression.")
    record_nesting: int = Field(64, ge=1, le=500, description="How deep a record may be nested.")
    record_elements: int = Field(1_000_000, ge=1, description="Elements that the records of a body may have.")
    record_key_bytes: int = Field(255, ge=1, description="Longest key in a record.")
    quarantine_per_minute: int = Field(600, ge=1, description="Quarantined requests of a sender a minute.")
    forward_port: int | None = Field(
        None, ge=0, le=65535, description="Port for fluentd's forward protocol; off without one."
    )
    forward_host: str = Field("127.0.0.1", description="Address to listen on for it.")
    forward_policy: str = Field("default", description="The Ingestion Policy that takes what comes by it.")
    forward_shared_key: str = Field("", description="What its clients must know; needed beyond loopback.")
    forward_token: str = Field("", description="The token with whose rights it is stored.")
    forward_users: Path | None = Field(None, description="File of lines `name token`, one for each client.")
    workers: int = Field(2, ge=0, le=256, description="Threads that run activities.")
    concurrency: int = Field(
        0, ge=0, le=256, description="Children of `haywain worker`; 0: as many as cores."
    )
    queues: str = Field(
        "",
        pattern=r"^([a-z0-9_-]+(,[a-z0-9_-]+)*)?$",
        description="Queues of which activities are run here, a,b; all if none is named.",
    )
    broker: str = Field("", description="redis:// URL of what wakes the Workers of other processes.")
    activity_days: int = Field(30, ge=0, description="How long ended activities are kept.")
    activity_seconds: int = Field(14_400, ge=1, description="How long one activity may run.")
    activity_bytes: int = Field(GIB, ge=MIB, description="How much memory one activity may take.")
    ledger_days: int = Field(30, ge=1, description="How long idempotency keys are remembered.")
    upload_hours: int = Field(168, ge=1, description="How long an upload at rest is kept.")
    session_hours: int = Field(168, ge=1, description="How long a login lasts.")
    public_url: str = Field(
        "", pattern=r"^(https?://[^\s]+)?$", description="Address of the portal, for links in messages."
    )
    smtp_url: str = Field("", description="Where mails are handed over: smtp://USER:PASSWORD@HOST:PORT.")
    mail_from: str = Field("", description="Whom mails are from: an address, or NAME <ADDRESS>.")
    webhook_hosts: str = Field(
        "", description="Hosts that webhooks may go to, a,b; any that is public if none is named."
    )
    pack_days: int = Field(7, ge=0, description="How many days of history a pack keeps.")

    @field_validator("forward_port", "forward_users", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:  # Any: as it was given
        return None if value == "" else value

    @field_validator("threads")
    @classmethod
    def _are_enough(cls, value: int) -> int:
        return max(value, LEAST_THREADS)

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # the unused sources are not named
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        **_: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take flags first, then the environment; `load` puts the ini file below both."""
        return init_settings, env_settings


def load(config: Path | None = None, **flags: Any) -> Settings:  # Any: values as click parsed them
    """Return the settings; flags that are None do not count.

    Raises DataDirectoryError (configuration) if the ini file or a value cannot be used.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        environment = Settings(**given)
        below = {k: v for k, v in _ini(config).items() if k not in environment.model_fields_set}
        return Settings(**(below | given))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise DataDirectoryError(f"Setting {name!r} cannot be used: {first['msg']}") from error


def _ini(config: Path | None) -> dict[str, str]:
    if config is None:
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(config.read_text(encoding="utf-8"), source=str(config))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise DataDirectoryError(f"The configuration {config} cannot be read: {error}") from error
    if not parser.has_section("haywain"):
        raise DataDirectoryError(f"The configuration {config} has no section [haywain]")
    found = dict(parser["haywain"])
    unknown = sorted(set(found) - set(Settings.model_fields))
    if unknown:
        raise DataDirectoryError(f"The configuration {config} sets {unknown[0]!r}, which is no setting")
    return found
