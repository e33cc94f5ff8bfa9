"""The agent's configuration: a TOML file, checked with messages that say where and what."""

import hashlib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from haywain.agent.sender import Credentials, Sender
from haywain.agent.source import Source, SourceConfig, source_class, source_types
from haywain.agent.template import check_template
from haywain.errors import AgentConfigurationError, HaywainError, near
from haywain.values import GIB, KIB, MIB

_UNITS = {"": 1, "B": 1, "KIB": KIB, "MIB": MIB, "GIB": GIB, "KB": 10**3, "MB": 10**6, "GB": 10**9}
LEAST_SPOOL_BYTES = 4 * MIB
T = TypeVar("T", bound=msgspec.Struct)


class _PortalTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    url: str = ""
    policy: Annotated[str, msgspec.Meta(min_length=1)] = "default"
    token: str = ""
    token_file: str = ""
    token_env: str = ""
    user: str = ""
    password: str = ""
    ca_file: str | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 30.0
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4


class _SpoolTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    folder: Annotated[str, msgspec.Meta(min_length=1)]
    bytes: int | str = GIB
    keep_bytes: int | str = 64 * MIB


class ConfiguredSource(NamedTuple):
    """A source as it is configured."""

    name: str
    cls: type[Source]
    config: SourceConfig


class AgentConfig(NamedTuple):
    """All that an agent is told."""

    url: str
    credentials: Credentials
    portal: _PortalTable
    folder: Path
    spool_bytes: int
    keep_bytes: int
    sources: list[ConfiguredSource]

    @property
    def account(self) -> str:
        """Return for whom the portal keeps numbers: this token or login, there."""
        who = self.credentials if isinstance(self.credentials, str) else self.credentials[0]
        return hashlib.sha256(f"{self.url} {who}".encode()).hexdigest()[:32]

    def sender(self) -> Sender:
        """Return a new sender; raises InvalidError."""
        portal = self.portal
        return Sender(
            self.url, self.credentials, portal.policy, timeout_s=portal.timeout_s, connections=portal.threads,
            ca_file=portal.ca_file,
        )  # fmt: skip


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> AgentConfig:
    """Return what a file says; raises AgentConfigurationError, which names the file and the key."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AgentConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AgentConfigurationError(f"{path} is no TOML: {error}") from error
    try:
        return _config(data, environment, path.resolve().parent)
    except HaywainError as error:
        raise AgentConfigurationError(f"{path}: {error}") from error


def _config(data: dict[str, Any], environment: Mapping[str, str], base: Path) -> AgentConfig:  # Any: TOML
    _check_keys("", data, ("portal", "spool", "sources"))
    portal = _table("portal", data.get("portal", {}), _PortalTable)
    spool = _table("spool", data.get("spool", {}), _SpoolTable)
    portal.ca_file = str(base / portal.ca_file) if portal.ca_file else None
    limit = _bytes("spool.bytes", spool.bytes)
    keep = _bytes("spool.keep_bytes", spool.keep_bytes)
    if limit < LEAST_SPOOL_BYTES:
        raise AgentConfigurationError(f"spool.bytes: at least {LEAST_SPOOL_BYTES} are needed")
    sources = data.get("sources", {})
    if not isinstance(sources, dict) or not sources:
        raise AgentConfigurationError('there is no source: add a table [sources.NAME] with type = "..."')
    found = AgentConfig(
        url=portal.url or environment.get("HAYWAIN_URL", ""),
        credentials=_credentials(portal, environment, base),
        portal=portal,
        folder=base / spool.folder,
        spool_bytes=limit,
        keep_bytes=min(keep, limit // 4),
        sources=[_source(name, table, portal.policy, base) for name, table in sources.items()],
    )
    if not found.url:
        raise AgentConfigurationError("portal.url must be given, or HAYWAIN_URL")
    found.sender()
    return found


def _source(name: str, table: Any, policy: str, base: Path) -> ConfiguredSource:  # Any: TOML
    where = f"sources.{name}"
    if not isinstance(table, dict) or not isinstance(table.get("type"), str):
        raise AgentConfigurationError(f"{where}.type must be given: one of {', '.join(source_types())}")
    try:
        cls = source_class(table["type"])
    except AgentConfigurationError as error:
        raise AgentConfigurationError(f"{where}.type: {error}") from error
    config = _table(where, table, cls.Config)
    config.tag = config.tag or cls.default_tag
    config.policy = config.policy or policy
    config.anchor(base)
    try:
        check_template(config.tag, cls.fields)
    except HaywainError as error:
        raise AgentConfigurationError(f"{where}.tag: {error}") from error
    return ConfiguredSource(name, cls, config)


def _credentials(portal: _PortalTable, environment: Mapping[str, str], base: Path) -> Credentials:
    given = [name for name in ("token", "token_file", "token_env", "user") if getattr(portal, name)]
    if len(given) > 1:
        raise AgentConfigurationError(f"portal: {' and '.join(given)} are given; one is enough")
    if portal.user:
        return portal.user, portal.password
    if portal.token_file:
        try:
            token = (base / portal.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AgentConfigurationError(f"portal.token_file cannot be read: {error}") from error
    else:
        variable = portal.token_env or "HAYWAIN_TOKEN"
        token = portal.token or environment.get(variable, "")
        if not token:
            raise AgentConfigurationError(f"portal.token must be given, or token_file, or {variable} be set")
    return token


def _table(where: str, data: Any, cls: type[T]) -> T:  # Any: TOML
    if not isinstance(data, dict):
        raise AgentConfigurationError(f"{where} must be a table: [{where}]")
    _check_keys(where, data, cls.__struct_fields__)
    try:
        return msgspec.convert(data, cls)
    except msgspec.ValidationError as error:
        raise AgentConfigurationError(_told(where, str(error))) from error


def _check_keys(where: str, data: Mapping[str, object], known: Iterable[str]) -> None:
    for key in data:
        if key not in known:
            full = f"{where}.{key}" if where else key
            raise AgentConfigurationError(f"there is no setting {full}; {near(key, known)}")


def _told(where: str, message: str) -> str:
    """Return msgspec's message with the key in front.

    >>> _told("spool", "Expected `str`, got `int` - at `$.folder`")
    'spool.folder: expected str, got int'
    """
    text, _, place = message.partition(" - at `$")
    missing = re.search(r"missing required field `(\w+)`", text)
    if missing:
        return f"{where}.{missing[1]} must be given"
    return f"{where}{place.rstrip('`')}: {text[:1].lower()}{text[1:].replace('`', '')}"


def _bytes(where: str, value: int | str) -> int:
    """Return a number of bytes, given as one or as `512 MiB`.

    >>> _bytes("spool.bytes", "1.5 GiB")
    1610612736
    """
    if isinstance(value, int):
        return value
    found = re.fullmatch(r"\s*([\d.]+)\s*([A-Za-z]*)\s*", value)
    unit = _UNITS.get(found[2].upper()) if found else None
    try:
        if found is None or unit is None:
            raise ValueError
        return int(float(found[1]) * unit)
    except ValueError:
        raise AgentConfigurationError(f"{where}: {value!r} is no size; write 512 MiB or 1 GiB") from None
