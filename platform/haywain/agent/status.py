"""How the agent is: a small file in the spool's folder that `haywain agent --status` reads."""

import json
import os
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from haywain.agent.locking import is_locked
from haywain.clock import iso

FILE = "status.json"


@dataclass
class SourceStatus:
    """How one source is."""

    name: str
    type: str
    read_bytes: int = 0
    read_item: str = ""
    waiting_bytes: int = 0
    sent_bytes: int = 0
    sent: str = ""
    """The last chunk that was sent, as tag, epoch and seq."""
    answer: str = ""
    """What the portal answered last."""
    trouble: str = ""
    """Why nothing can be read now; empty if all is well."""
    last_error: str = ""
    last_error_at: str = ""

    def note_read(self, item: str, size: int) -> None:
        """Count what was read and is durable."""
        self.read_bytes += size
        self.read_item = item or self.read_item

    def note_trouble(self, message: str) -> None:
        """Remember that something cannot be read."""
        self.trouble = message
        self.note_error(message)

    def note_error(self, message: str) -> None:
        """Remember the last error."""
        self.last_error, self.last_error_at = message, iso(time.time())

    def note_answer(self, sent: str, answer: str, size: int) -> None:
        """Remember what the portal answered to a chunk of this size."""
        self.sent, self.answer = sent, answer
        self.sent_bytes += size


@dataclass
class Board:
    """How the whole agent is."""

    portal: str
    pid: int = field(default_factory=os.getpid)
    started: str = field(default_factory=lambda: iso(time.time()))
    updated: str = ""
    spool_bytes: int = 0
    spool_limit_bytes: int = 0
    waiting_chunks: int = 0
    trouble: str = ""
    """Why nothing can be sent now; empty if all is well."""
    sources: dict[str, SourceStatus] = field(default_factory=dict)
    refused_chunks: int = 0

    def source(self, name: str) -> SourceStatus:
        """Return the status of a source; one configured no more may still have chunks in the spool."""
        return self.sources.setdefault(name, SourceStatus(name, "(not configured)"))

    def save(self, folder: Path) -> None:
        """Write it as a whole, though not durably: after a crash it says nothing true anyway."""
        self.updated = iso(time.time())
        beside = folder / f".{FILE}.{threading.get_ident()}"
        text = json.dumps(asdict(self), ensure_ascii=False)
        beside.write_text(text, encoding="utf-8", errors="replace")  # names of files may be no text
        beside.replace(folder / FILE)


def read_status(folder: Path) -> dict[str, Any]:  # Any: JSON
    """Return the status that an agent left in its spool's folder, and `running`; {} if there is none."""
    try:
        found: dict[str, Any] = json.loads((folder / FILE).read_bytes())
    except FileNotFoundError:
        return {}
    return {"running": is_locked(folder), **found}


def lines_of(status: dict[str, Any]) -> list[str]:  # Any: as above
    """Return a status as people read it, a line for the agent and one for each source."""
    state = f"running as {status['pid']}" if status["running"] else "not running"
    lines = [
        f"agent {state}, to {status['portal']}; {status['waiting_chunks']} chunks wait,"
        f" spool {status['spool_bytes']} of {status['spool_limit_bytes']} bytes; {status['updated']}"
    ]
    if status["trouble"]:
        lines.append(f"  cannot send: {status['trouble']}")
    if status["refused_chunks"]:
        lines.append(
            f"  {status['refused_chunks']} chunks were refused and lie in the spool's folder refused"
        )
    for source in status["sources"].values():
        lines.append(
            f"  {source['name']} ({source['type']}): read {source['read_bytes']} bytes, waiting"
            f" {source['waiting_bytes']}, sent {source['sent_bytes']}; last {source['sent'] or 'nothing'}"
            f" {source['answer']}"
        )
        if source["last_error"]:
            lines.append(f"    last error {source['last_error_at']}: {source['last_error']}")
    return lines
