"""The mail log: structlog events on standard error, one a message and one a part, JSON or console.

Trusts nothing that it prints: every string, whoever wrote it, is made printable and capped, so that no mail can forge
a line, paint a terminal or fill a disk. Fails with nothing of its own. Bound: `MAX_TEXT` characters a value,
`MAX_LIST` values.
"""

from __future__ import annotations

import logging
import secrets
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from sandbox.client import Flattened

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from gateway.config import LogSettings
    from gateway.outcome import Outcome
    from gateway.sanitise import Sanitised
    from gateway.smtp.envelope import Envelope

MAX_TEXT: Final = 500
MAX_TRACE: Final = 20_000
MAX_LIST: Final = 20

log = structlog.get_logger("mail")


def printable(untrusted_text: str, limit: int = MAX_TEXT) -> str:
    """One line that shows what it holds: control, format and surrogate characters as escapes, and capped."""
    cut = untrusted_text[:limit]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return shown if len(untrusted_text) <= limit else shown + "..."


def configure(settings: LogSettings) -> None:
    """Send events to standard error as `settings` say."""
    renderer: Any = structlog.processors.JSONRenderer()
    if settings.format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _made_printable,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _made_printable(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    trace = event.pop("exception", None)
    clean = {key: _clean(value) for key, value in event.items()}
    if isinstance(trace, str):
        clean["exception"] = "\n".join(printable(line) for line in trace[-MAX_TRACE:].split("\n"))
    return clean


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value[:MAX_LIST]]
    return value if isinstance(value, (int, float, bool, type(None))) else printable(str(value))


def alarm(fault: str, queue_id: str = "") -> None:
    """A message is not sent, as what was written is not what two readers find in it: a fault of ours, to be mended."""
    log.error("readings_differ", queue_id=queue_id, fault=fault)


@dataclass(slots=True)
class Ticket:
    """One message's line in the log, filled in on its way."""

    queue_id: str
    started: float
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, envelope: Envelope, untrusted_message: bytes) -> Ticket:
        """A new queue id, and what the envelope says."""
        recipients = [recipient.address for recipient in envelope.recipients]
        facts: dict[str, Any] = {
            "client": envelope.client,
            "helo": envelope.helo,
            "sender": envelope.sender,
            "recipients": recipients,
            "recipient_count": len(recipients),
            "bytes_in": len(untrusted_message),
        }
        facts |= {f"xforward_{name.lower()}": value for name, value in envelope.xforward if name in ("IDENT", "ADDR")}
        return cls(secrets.token_hex(6), time.monotonic(), facts)

    def sanitised(self, safe: Sanitised) -> None:
        """One event a part, and the message's own facts."""
        self.facts |= {
            "bytes_out": len(safe.content),
            "parts": len(safe.records),
            "ambiguities": list(safe.ambiguities),
            "original": safe.original_id,
        }
        for record in safe.records:
            answer = safe.answers.get(record.part)
            log.info(
                "part",
                queue_id=self.queue_id,
                part=record.part,
                name=record.name,
                declared=record.declared,
                found=record.found,
                outcome=record.outcome,
                reason=record.reason,
                id=record.id,
                pages=answer.pages if isinstance(answer, Flattened) else 0,
                seconds=round(answer.seconds, 3) if answer else 0.0,
                stages={name: round(seconds, 3) for name, seconds in asdict(answer.stages).items()} if answer else {},
            )

    def ended(self, ended: Outcome) -> None:
        """The message's own event."""
        level = log.info if ended.delivered else log.warning
        level("message", outcome=ended.kind.value, reply=ended.reply, detail=ended.detail, **self._facts())

    def client_left(self) -> None:
        """The client hung up, or we are stopping, before there was a reply."""
        log.warning("message", outcome="client_left", reply="", detail="", **self._facts())

    def _facts(self) -> dict[str, Any]:
        return {"queue_id": self.queue_id, **self.facts, "seconds": round(time.monotonic() - self.started, 3)}
