"""Converts what a run works with into the values of a report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.hint import write_hint
from lockgate.core.history import State
from lockgate.core.migration import Direction
from lockgate.core.older_package import UNRUN
from lockgate.core.segment import Cause
from lockgate.core.state_after import describe_state
from lockgate.errors import LockgateError, public_class
from lockgate.report.report import Blocker, Entry, ErrorInfo, SegmentEntry

if TYPE_CHECKING:
    from datetime import datetime

    from lockgate.core.address import Address
    from lockgate.core.failure import Failure
    from lockgate.core.history import Applied
    from lockgate.core.migration import Migration, Version
    from lockgate.core.outcome import FinishedMigration
    from lockgate.core.segment import Segment, Step
    from lockgate.core.state_after import StateClaim


# A migration can raise megabytes of text; no log line or page can take that.
_LONGEST_MESSAGE = 8_000


def version_text(version: Version | None) -> str | None:
    """Return a version as a report shows it."""
    return None if version is None else version.text


def step_entry(step: Step) -> Entry:
    """Return the entry of a pending step."""
    migration = step.migration
    return Entry(
        version=version_text(migration.version),
        name=migration.name,
        kind=migration.kind,
        file=migration.path,
        # A resumed undo is still an undo to the reader.
        reason=step.cause if step.direction is Direction.UP else Cause.REVERTED,
    )


def segment_entry(segment: Segment) -> SegmentEntry:
    """Return the entry of steps that take effect together."""
    return SegmentEntry(
        mode=segment.mode,
        migrations=tuple(step.migration.migration_id for step in segment.steps),
        reason=segment.reason,
    )


def done_entry(migration: Migration, done: FinishedMigration) -> Entry:
    """Return the entry of a migration that was applied."""
    return Entry(
        version=version_text(migration.version),
        name=migration.name,
        kind=migration.kind,
        file=migration.path,
        duration_ms=done.duration_ms,
        applied_at=done.applied_at,
        state=State.APPLIED,
    )


def row_entry(row: Applied, action: str | None = None) -> Entry:
    """Return the entry of a history row; ``action`` is that of the run that wrote it."""
    recorded_by = action if action in UNRUN else None
    is_half = row.state in {State.PARTIAL, State.REVERTING}
    return Entry(
        version=version_text(row.version),
        name=row.name,
        kind=row.kind,
        duration_ms=row.duration_ms if recorded_by is None else None,
        applied_at=row.applied_at,
        state=row.state,
        recorded_by=recorded_by,
        statements_done=row.statements_done if is_half else None,
        statements_total=row.statements_total if is_half else None,
    )


def error_info(
    error: LockgateError, claim: StateClaim, address: Address, failure: Failure | None = None
) -> ErrorInfo:
    """Return an error as a report shows it, with the state in which the database was left.

    The commands in its hint are those of ``address``.
    """
    info = ErrorInfo(
        code=error.code,
        message=f"{_cut(error.message)} {describe_state(claim)}".lstrip(),
        type=public_class(error).__name__,
        hint=None if error.hint is None else _cut(write_hint(error.hint, address)),
        migration=_optional_text(error.fields.get("migration")),
        file=getattr(error, "file", None) or _optional_text(error.fields.get("file")),
        line=getattr(error, "line", None),
        column=getattr(error, "column", None),
        state_after=claim.state,
        state_evidence=claim.evidence,
    )
    return info if failure is None else _with_failure(info, failure)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 1]}…"


def _optional_text(value: object) -> str | None:
    return None if value is None else str(value)


def _with_failure(error: ErrorInfo, failure: Failure) -> ErrorInfo:
    """Return an error with the place and the server's message of a failed step."""
    return replace(
        error,
        sqlstate=failure.sqlstate,
        migration=None if failure.together else failure.migration,
        statement=failure.statement,
        file=failure.file,
        line=failure.line,
        column=failure.column,
        excerpt=failure.excerpt,
        detail=failure.detail,
        context=failure.context,
        blockers=tuple(
            Blocker(b.pid, b.user, b.application, b.state, b.age_seconds, b.query)
            for b in failure.blockers
        ),
    )


def reverted_entry(row: Applied, done: FinishedMigration) -> Entry:
    """Return the entry of a migration that was undone, with the time of the undo."""
    return Entry(
        version=version_text(row.version),
        name=row.name,
        kind=row.kind,
        duration_ms=done.duration_ms,
        applied_at=done.applied_at,
    )


def file_entry(
    migration: Migration, applied_at: datetime | None, state: str = State.APPLIED
) -> Entry:
    """Return the entry of a migration whose row is written from its file, without running it."""
    return Entry(
        version=version_text(migration.version),
        name=migration.name,
        kind=migration.kind,
        file=migration.path,
        applied_at=applied_at,
        state=state,
    )
