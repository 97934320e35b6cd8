"""Settings: defaults < file < command line, checked at load, frozen afterwards.

`config/lazaretto.toml` names every key with its default and its reason; a test compares it with this file. Rooms that
know nothing of files keep their own settings (`mail.tree.Bounds`, `mail.policy.Policy`,
`sandbox.client.SandboxSettings`); their sections here are made from those dataclasses, so that no default is written
twice. Trusts the administrator, not his typing: an unknown key or a wrong value is `ConfigError`, a line each with
the key, what is wrong and what to do.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import os
import re
import socket
import tomllib
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from gateway.mail.policy import Policy
from gateway.mail.tree import Bounds
from gateway.smtp.address import Address, parse_address
from sandbox.client import Limits, PoolSettings, SandboxSettings, ServiceSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails


class ConfigError(Exception):
    """The configuration cannot be used; the text is a line for each fault."""


def _address(value: str) -> str:
    parse_address(value)  # its ValueError says what to write
    return value


def _listed(value: object) -> object:
    """One address needs no brackets."""
    return value if isinstance(value, (list, tuple)) else (value,)


def _network(value: str) -> str:
    ipaddress.ip_network(value)  # its ValueError says what is wrong
    return value


Addresses = Annotated[
    tuple[Annotated[str, AfterValidator(_address)], ...], BeforeValidator(_listed), Field(min_length=1, max_length=32)
]
Network = Annotated[str, AfterValidator(_network)]
Count = Annotated[int, Field(gt=0)]
CountOrNone = Annotated[int, Field(ge=0)]  # 0: no bound, or none at all
Seconds = Annotated[float, Field(gt=0, le=86400)]
Directory = Annotated[Path | None, BeforeValidator(lambda value: value or None)]  # "": the usual place
OptionalFile = Annotated[Path | None, BeforeValidator(lambda value: value or None), Field(validate_default=True)]


class Section(BaseModel):
    """What all sections have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class SmtpSettings(Section):
    """`[smtp]`: the side that takes mail in."""

    listen: Addresses = ("127.0.0.1:10025",)
    hostname: Annotated[str, Field(pattern=r"^[\x21-\x7e]*$", max_length=255)] = ""
    max_message_bytes: Count = 64 * 1024 * 1024
    max_line_bytes: Count = 2 * 1024 * 1024
    max_recipients: Count = 1000
    max_command_bytes: Annotated[int, Field(ge=512, le=65536)] = 4096
    max_connections: Count = 100
    max_connections_per_client: Count = 100
    max_messages_per_connection: CountOrNone = 0
    max_messages_per_minute: CountOrNone = 0
    max_commands: Count = 100
    max_errors: Count = 20
    max_memory_bytes: Count = 1024 * 1024 * 1024
    command_seconds: Seconds = 300.0
    chunk_seconds: Seconds = 180.0
    data_seconds: Seconds = 1800.0
    drain_seconds: Seconds = 600.0
    xforward_peers: tuple[Network, ...] = ("127.0.0.0/8", "::1/128")
    tls: Literal["none", "may", "required"] = "none"
    tls_certificate: OptionalFile = None
    tls_key: OptionalFile = None

    @field_validator("tls_certificate")
    @classmethod
    def _has_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None and info.data.get("tls", "none") != "none":
            raise ValueError("STARTTLS cannot be offered without one")
        return value

    @property
    def name(self) -> str:
        """What we call ourselves: never the MTA's own name, or Postfix takes us for itself and sees a loop."""
        return self.hostname or "lazaretto." + re.sub(r"[^A-Za-z0-9.-]", "", socket.gethostname()).lower()

    @property
    def listen_addresses(self) -> tuple[Address, ...]:
        """Where to listen."""
        return tuple(parse_address(text) for text in self.listen)


class RelaySettings(Section):
    """`[relay]`: the next hop."""

    next_hop: Addresses = ("127.0.0.1:10026",)
    avoid_seconds: Seconds = 60.0
    connect_seconds: Seconds = 30.0
    greeting_seconds: Seconds = 300.0
    command_seconds: Seconds = 300.0
    data_seconds: Seconds = 120.0
    dot_seconds: Seconds = 600.0
    reset_seconds: Seconds = 20.0
    idle_seconds: Seconds = 2.0
    max_idle_connections: CountOrNone = 10
    max_messages_per_connection: Count = 100
    tls: Literal["none", "may", "verify"] = "none"
    tls_ca_file: OptionalFile = None
    tls_name: Annotated[str, Field(pattern=r"^[\x21-\x7e]*$", max_length=255, validate_default=True)] = ""

    @field_validator("tls_name")
    @classmethod
    def _has_name(cls, value: str, info: ValidationInfo) -> str:
        hops = [parse_address(text) for text in info.data.get("next_hop", ())]
        if not value and info.data.get("tls") == "verify" and any(hop.path for hop in hops):
            raise ValueError("a Unix socket has no host to check the certificate for")
        return value

    @property
    def next_hop_addresses(self) -> tuple[Address, ...]:
        """In the order in which they are tried."""
        return tuple(parse_address(text) for text in self.next_hop)


class MessageSettings(Section):
    """`[message]`: what one message may cost as a whole."""

    deadline_seconds: Seconds = 540.0
    max_hops: Count = 50
    parallel_parts: Count = 2
    work_directory: Directory = None


class OriginalsSettings(Section):
    """`[originals]`: the quarantine."""

    directory: Directory = None

    @property
    def place(self) -> Path:
        """The directory in effect."""
        return self.directory or state_directory() / "originals"


class CacheSettings(Section):
    """`[cache]`: results of conversions, for the message that comes again."""

    directory: Directory = None
    bytes: CountOrNone = 1024 * 1024 * 1024
    seconds: Seconds = 86400.0
    background_conversions: CountOrNone = 4
    background_bytes: Count = 128 * 1024 * 1024

    @property
    def place(self) -> Path:
        """The directory in effect."""
        return self.directory or state_directory() / "results"


class JournalSettings(Section):
    """`[journal]`: what was handed on and whose reply may have been lost."""

    directory: Directory = None
    entries: CountOrNone = 100_000
    seconds: Seconds = 86400.0

    @property
    def place(self) -> Path:
        """The directory in effect."""
        return self.directory or state_directory() / "journal"


class LogSettings(Section):
    """`[log]`."""

    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """All of it; a section each."""

    smtp: SmtpSettings
    relay: RelaySettings
    message: MessageSettings
    mail: Bounds
    policy: Policy
    sandbox: SandboxSettings
    originals: OriginalsSettings
    cache: CacheSettings
    journal: JournalSettings
    log: LogSettings

    def effective(self) -> dict[str, Any]:
        """Every value in effect, for the log at start."""
        return {
            field.name: _plain(getattr(self, field.name))
            for field in dataclasses.fields(self)  # a section each
        }


def state_directory(environ: Mapping[str, str] = os.environ, user: int | None = None) -> Path:
    """StateDirectory= of systemd, /var/lib/lazaretto for root, XDG_STATE_HOME for other users."""
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    if (os.geteuid() if user is None else user) == 0:
        return Path("/var/lib/lazaretto")
    home = environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "lazaretto"


def load(file: Path | None = None, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """Read and check; raises ConfigError."""
    given: dict[str, Any] = _read(file) if file else {}
    for section, keys in (overrides or {}).items():
        values = given.setdefault(section, {})
        if isinstance(values, dict):
            values.update(keys)
    try:
        checked = _FILE.model_validate(given)
    except ValidationError as error:
        name = file or "command line"
        raise ConfigError("\n".join(f"{name}: {_explained(fault)}" for fault in error.errors())) from None
    return _settings(checked)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; check the path and its permissions") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not TOML: {error}; mend that line") from None


def _mirror(values: type, name: str) -> type[Section]:
    """A section made from a room's own dataclass: its fields, its defaults, numbers above zero or as `least` says."""
    fields: dict[str, Any] = {}
    hints = typing.get_type_hints(values, localns={"Path": Path, "Literal": Literal})
    for field in dataclasses.fields(values):
        kind = hints[field.name]
        if kind is Bounds:  # its keys are the section `[mail]`
            continue
        if dataclasses.is_dataclass(kind):
            kind = _mirror(typing.cast("type", kind), field.name.title())
            fields[field.name] = (kind, kind())
            continue
        if kind in (int, float):
            least = field.metadata.get("least")
            kind = Annotated[kind, Field(gt=0) if least is None else Field(ge=least)]
        elif kind == Path | None:
            kind = Directory
        default = field.default if field.default is not dataclasses.MISSING else None
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        fields[field.name] = (kind, default)

    def accepted(section: Section) -> Section:
        values(**dict(section))  # the room's own checks, if it has any: ValueError
        return section

    validators: dict[str, Any] = {"accepted": model_validator(mode="after")(accepted)}
    return typing.cast("type[Section]", create_model(name, __base__=Section, __validators__=validators, **fields))


_SECTIONS: dict[str, type[Section]] = {
    "smtp": SmtpSettings,
    "relay": RelaySettings,
    "message": MessageSettings,
    "mail": _mirror(Bounds, "Bounds"),
    "policy": _mirror(Policy, "Policy"),
    "sandbox": _mirror(SandboxSettings, "Sandbox"),
    "originals": OriginalsSettings,
    "cache": CacheSettings,
    "journal": JournalSettings,
    "log": LogSettings,
}
_FILE: type[Section] = create_model(
    "File", __base__=Section, **{name: (kind, kind()) for name, kind in _SECTIONS.items()}
)  # type: ignore[call-overload] # made of data


def _settings(checked: Section) -> Settings:
    section = {name: getattr(checked, name) for name in _SECTIONS}
    sandbox = dict(section["sandbox"])
    sandbox["limits"] = Limits(**dict(sandbox["limits"]))
    sandbox["pool"] = PoolSettings(**dict(sandbox["pool"]))
    sandbox["service"] = ServiceSettings(**dict(sandbox["service"]))
    section["sandbox"] = SandboxSettings(**sandbox)
    section["mail"] = Bounds(**dict(section["mail"]))
    section["policy"] = Policy(**dict(section["policy"]), bounds=section["mail"])
    return Settings(**section)


def _explained(fault: ErrorDetails) -> str:
    """Where, what, and what to do about it, in one line."""
    key = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{key}: no such key; {_nearest([str(step) for step in fault['loc']])}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{key}: {message}, but it is {fault['input']!r}; see that key in config/lazaretto.toml"


def _nearest(path: list[str]) -> str:
    known = [name for name, _ in all_keys() if name.count(".") == len(path) - 1]
    known += list(_SECTIONS) if len(path) == 1 else []
    close = difflib.get_close_matches(".".join(path), known, 1)
    return f"did you mean {close[0]}?" if close else "remove it, or see config/lazaretto.toml for those that there are"


def all_keys() -> list[tuple[str, Any]]:
    """Every key with its default, as `section.key` or `section.table.key`."""
    found: list[tuple[str, Any]] = []

    def collect(prefix: str, section: Section) -> None:
        for name in type(section).model_fields:
            value = getattr(section, name)
            if isinstance(value, Section):
                collect(f"{prefix}{name}.", value)
            else:
                found.append((prefix + name, value))

    for name, kind in _SECTIONS.items():
        collect(f"{name}.", kind())
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (frozenset, set, tuple, list)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
