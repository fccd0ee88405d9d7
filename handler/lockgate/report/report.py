"""The report of a run as a value, and its JSON form ``lockgate/report/v1`` (docs/report.schema.json).

Never put a secret, a signed URL or row data into it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lockgate.core.state_after import Evidence, StateAfter
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.request import Action
    from lockgate.core.run_record import RunRecord

FORMAT = "lockgate/report/v1"

# Longer lists are cut in the JSON form, and `counts` has the full number: Lambda limits a synchronous
# answer to 6 MB.
MAX_LISTED = 1_000


class Status(StrEnum):
    """How a run ended."""

    APPLIED = "applied"
    UP_TO_DATE = "up_to_date"
    PLANNED = "planned"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    BUSY = "busy"
    REFUSED = "refused"


SUCCESSES = frozenset({Status.APPLIED, Status.UP_TO_DATE, Status.PLANNED, Status.ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """Which database the run was about."""

    host: str
    port: int
    name: str
    server_version: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One migration in one of the report's lists. Fields that do not apply there are ``None``.

    ``recorded_by`` is the action that wrote the row without running the migration. If it is applied in
    part, ``statements_done`` of ``statements_total`` statements are done.
    """

    version: str | None
    name: str
    kind: str
    file: str | None = None
    duration_ms: int | None = None
    applied_at: datetime | None = None
    state: str | None = None
    reason: str | None = None
    recorded_by: str | None = None
    statements_done: int | None = None
    statements_total: int | None = None


@dataclass(frozen=True, slots=True)
class DriftEntry:
    """An applied migration that differs from its file. ``actual`` is ``None`` if the file is gone."""

    version: str | None
    name: str
    file: str | None
    script: str
    recorded: str
    actual: str | None
    severity: str


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """Steps that share one transaction, or one migration that cannot run in a transaction."""

    mode: str
    migrations: tuple[str, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that the run waited for. Literals are removed from ``query``."""

    pid: int
    user: str | None
    application: str | None
    state: str | None
    age_seconds: float | None
    query: str | None


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What went wrong, and where. ``line`` and ``column`` count from 1 in ``file``.

    ``state_after`` is the state of the database afterwards, and ``state_evidence`` is how that is
    known. ``message`` ends with both as a sentence.
    """

    code: str
    message: str
    type: str
    hint: str | None = None
    sqlstate: str | None = None
    migration: str | None = None
    statement: int | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None
    detail: str | None = None
    context: str | None = None
    blockers: tuple[Blocker, ...] = ()
    state_after: StateAfter = StateAfter.UNKNOWN
    state_evidence: Evidence = Evidence.NONE


@dataclass(frozen=True, slots=True)
class HolderInfo:
    """The run that holds the lock. ``at`` is its current migration and, after ``#``, its statement.

    ``is_alive``: its session exists on the server, as far as this role can see.
    ``reference`` is the caller's own reference: for CloudFormation, the stack and the request.
    """

    run_id: str
    caller: str
    taken_at: datetime
    expires_at: datetime
    at: str | None = None
    reference: dict[str, str] = field(default_factory=dict)
    is_alive: bool = True


@dataclass(frozen=True, slots=True)
class LockInfo:
    """The lock of this run: its fencing token, or the run that holds it instead."""

    waited_ms: int
    token: int | None = None
    holder: HolderInfo | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one invocation."""

    status: Status
    action: Action | None
    run_id: str
    caller: str | None = None
    database: DatabaseInfo | None = None
    from_version: str | None = None
    to_version: str | None = None
    applied: tuple[Entry, ...] = ()
    pending: tuple[Entry, ...] = ()
    ahead: tuple[Entry, ...] = ()
    reverted: tuple[Entry, ...] = ()
    recorded: tuple[Entry, ...] = ()
    forgotten: tuple[Entry, ...] = ()
    drift: tuple[DriftEntry, ...] = ()
    segments: tuple[SegmentEntry, ...] = ()
    history: tuple[Entry, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    error: ErrorInfo | None = None
    lock: LockInfo | None = None
    backup: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    next_action: str | None = None
    duration_ms: int = 0
    timings: dict[str, int] = field(default_factory=dict)

    @property
    def is_success(self) -> bool:
        """True if the caller got what it asked for."""
        return self.status in SUCCESSES

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value: keys in a fixed order, lists cut at `MAX_LISTED`."""
        value: dict[str, Any] = {"format": FORMAT}
        counts: dict[str, int] = {}
        for item in dataclasses.fields(self):
            content = getattr(self, item.name)
            if isinstance(content, tuple):
                counts[item.name] = len(content)
                content = content[:MAX_LISTED]
            value[item.name] = to_plain(content)
        value["counts"] = counts
        return value

    def to_text(self) -> str:
        """Return the JSON form as one line of text."""
        return to_text(self.to_json())


def to_text(report: dict[str, Any]) -> str:
    """Return a report's JSON form as one line of text that is safe to show in a terminal.

    Control characters, changes of the writing direction and characters without width are escaped, since
    names and messages come from elsewhere.
    """
    text = json.dumps(report, ensure_ascii=False, separators=(",", ":"))
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def to_plain(value: Any) -> Any:
    """Return a value as JSON can hold it: objects, lists, texts and numbers."""
    # This is what `dataclasses.fields` reads, in a third of the time: a report has thousands of entries.
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return {name: to_plain(getattr(value, name)) for name in fields}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value
