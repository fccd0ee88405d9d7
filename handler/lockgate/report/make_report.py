"""Makes the report of a run, and its row in the run table, from the run's events."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.hint import write_hint
from lockgate.core.history import State
from lockgate.core.listing import digest_catalog, digest_lines
from lockgate.core.migration import Direction, Language
from lockgate.core.request import Action
from lockgate.core.state_after import NOT_BEGUN, make_unknown
from lockgate.report.entry import (
    done_entry,
    error_info,
    reverted_entry,
    row_entry,
    segment_entry,
    step_entry,
    version_text,
)
from lockgate.report.fold import fold
from lockgate.report.refusal import refuse_report, status_of
from lockgate.report.report import (
    SUCCESSES,
    DatabaseInfo,
    DriftEntry,
    HolderInfo,
    LockInfo,
    Report,
    SegmentEntry,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.core.address import Address
    from lockgate.core.endpoint import Endpoint
    from lockgate.core.event_log import EventLog
    from lockgate.core.migration import Version
    from lockgate.core.run_state import RunState
    from lockgate.core.state_after import StateClaim
    from lockgate.errors import LockgateError
    from lockgate.report.fold import RunSummary
    from lockgate.report.report import Entry, ErrorInfo

_BROKEN_OFF = "the run ended before it could check"


def make_report(events: EventLog, status: Status, endpoint: Endpoint | None) -> Report:
    """Return the report of a run that has started, as of now; ``endpoint`` is the server's."""
    summary = fold(events.snapshot())
    assert summary is not None
    return make_report_of(summary, status, endpoint, _count_ms(events, summary))


def make_outcome(
    events: EventLog, status: Status, endpoint: Endpoint | None
) -> dict[str, str | None]:
    """Return what the run's row is finished with."""
    summary = fold(events.snapshot())
    assert summary is not None
    report = make_report_of(summary, status, endpoint, _count_ms(events, summary))
    return {
        "status": status.value,
        "from_version": report.from_version,
        "to_version": report.to_version,
        # PostgreSQL stores no NUL, and a database may hold less than Unicode.
        "report": json.dumps(report.to_json()).replace("\\u0000", ""),
        "catalog_digest": _digest_catalog(summary, status),
    }


def report_so_far(events: EventLog, run_id: str, error: LockgateError, reason: str) -> Report:
    """Return the report of a run that is still at work, for a caller who cannot wait any longer.

    It lists what the server has confirmed by now. ``reason`` is why the state of the database is
    unknown. Safe in a thread other than the run's.
    """
    summary = fold(events.snapshot())
    if summary is None:
        return refuse_report(run_id, error, make_unknown(reason))
    return _report_error(events, summary, error, _make_unknown(summary.state, reason))


def report_broken_off(events: EventLog, run_id: str, error: LockgateError) -> Report:
    """Return the report of a run that an exception ended, or that had to be answered with this error.

    It lists what the server had confirmed. The state is unknown if the run had sent any work and did
    not come to its own end. If the events cannot be reported, it contains only the error.
    """
    snapshot = events.snapshot()
    if not snapshot:
        return refuse_report(run_id, error, NOT_BEGUN)
    try:
        return _report_events(events, error)
    except Exception:  # noqa: BLE001 - the defect may be in the report
        return refuse_report(run_id, error, make_unknown(_BROKEN_OFF))


def _report_events(events: EventLog, error: LockgateError) -> Report:
    summary = fold(events.snapshot())
    assert summary is not None
    state, is_at_work = summary.state, summary.state.sent_work.has_sent_anything
    if is_at_work and not summary.is_finished:
        return _report_error(events, summary, error, _make_unknown(state, _BROKEN_OFF))
    # The error is not that of a migration, even if one failed.
    claim = replace(state.claim(), has_failed_step=False)
    return _report_error(events, summary, error, claim)


def _make_unknown(state: RunState, reason: str) -> StateClaim:
    return replace(make_unknown(reason), kept=tuple(state.done), undone=tuple(state.reverted))


def _report_error(
    events: EventLog, summary: RunSummary, error: LockgateError, claim: StateClaim
) -> Report:
    report = make_report_of(summary, status_of(error), summary.endpoint, _count_ms(events, summary))
    info = error_info(error, claim, summary.address)
    return replace(report, error=info, next_action=info.hint)


def _count_ms(events: EventLog, summary: RunSummary) -> int:
    return round((events.monotonic() - summary.started_at) * 1000)


def make_report_of(
    summary: RunSummary, status: Status, endpoint: Endpoint | None, duration_ms: int
) -> Report:
    """Return the report that shows a summary."""
    state, plan = summary.state, summary.plan
    return Report(
        status=status,
        action=state.request.action,
        run_id=state.run_id,
        caller=state.request.caller.name,
        database=_database(summary, endpoint),
        from_version=version_text(_from_version(summary)),
        to_version=version_text(_to_version(summary)),
        applied=_applied(state),
        pending=_pending(summary),
        ahead=() if plan is None else tuple(row_entry(row) for row in plan.ahead),
        reverted=_reverted(state),
        recorded=summary.recorded,
        forgotten=summary.forgotten,
        drift=_drift(summary),
        segments=_segments(summary),
        history=_listed_history(summary),
        runs=summary.runs,
        error=_error(state, summary.address),
        lock=_lock(state),
        backup=summary.backup,
        warnings=tuple(write_hint(text, summary.address) for text in _warnings(summary)),
        next_action=_write_next_action(summary, status),
        duration_ms=duration_ms,
        timings=dict(summary.timings),
    )


def _from_version(summary: RunSummary) -> Version | None:
    """Return where the database stood; a run that made no plan has at least read the history."""
    has_begun = summary.has_begun or summary.is_settled
    return summary.from_version if has_begun else summary.state.history.latest


def _to_version(summary: RunSummary) -> Version | None:
    if summary.is_settled:
        return _from_version(summary)
    state = summary.state
    forgotten = () if state.request.dry_run else summary.forgotten
    gone = {*state.reverted, *(entry.version for entry in forgotten)}
    versions = [
        row.version
        for row in state.history.rows
        if row.state is State.APPLIED and row.migration_id not in gone
    ]
    if state.catalog is not None:
        written = (entry.version or "" for entry in _written(summary))
        found = map(state.catalog.by_id.get, (*written, *state.done))
        versions += [migration.version for migration in found if migration is not None]
    return max((v for v in versions if v is not None), default=state.history.known_to)


def _written(summary: RunSummary) -> tuple[Entry, ...]:
    """Return what is in the database by this; an accepted row is where it was before."""
    recorded = () if summary.state.request.dry_run else summary.recorded
    return tuple(entry for entry in recorded if entry.state == State.APPLIED)


def _database(summary: RunSummary, endpoint: Endpoint | None) -> DatabaseInfo | None:
    if endpoint is None:
        return None
    version = None if summary.probe is None else summary.probe.server_version
    return DatabaseInfo(endpoint.host, endpoint.port, endpoint.dbname, version)


def _applied(state: RunState) -> tuple[Entry, ...]:
    if state.catalog is None:
        return ()
    found = ((state.catalog.by_id.get(done.migration_id), done) for done in state.done.values())
    return tuple(done_entry(migration, done) for migration, done in found if migration)


def _pending(summary: RunSummary) -> tuple[Entry, ...]:
    state = summary.state
    over = state.done if state.request.action is Action.UP else state.reverted
    waiting = (step for step in summary.waiting if step.migration.migration_id not in over)
    return tuple(step_entry(step) for step in waiting)


def _reverted(state: RunState) -> tuple[Entry, ...]:
    rows = state.undone_rows
    return tuple(
        reverted_entry(rows[done.migration_id], done)
        for done in state.reverted.values()
        if done.migration_id in rows
    )


def _drift(summary: RunSummary) -> tuple[DriftEntry, ...]:
    if summary.plan is None:
        return ()
    return tuple(
        DriftEntry(
            version=drift.version,
            name=drift.name,
            file=drift.file,
            script=drift.direction,
            recorded=drift.recorded,
            actual=drift.actual,
            severity=drift.severity,
        )
        for drift in summary.plan.drift
    )


def _segments(summary: RunSummary) -> tuple[SegmentEntry, ...]:
    return tuple(map(segment_entry, summary.segments))


def _listed_history(summary: RunSummary) -> tuple[Entry, ...]:
    if summary.state.request.action is not Action.STATUS:
        return ()
    rows = summary.state.history.rows
    return tuple(row_entry(row, summary.actions.get(row.run_id)) for row in rows)


def _error(state: RunState, address: Address) -> ErrorInfo | None:
    if state.error is None:
        return None
    return error_info(state.error, state.claim(), address, state.failure)


def _lock(state: RunState) -> LockInfo | None:
    seen = state.holder
    if state.token is None and seen is None and state.waited_ms == 0:
        return None
    holder = None
    if seen is not None:
        holder = HolderInfo(
            run_id=seen.run_id,
            caller=seen.caller,
            taken_at=seen.taken_at,
            expires_at=seen.expires_at,
            at=seen.at,
            reference=seen.reference,
            is_alive=seen.is_alive,
        )
    return LockInfo(state.waited_ms, state.token, holder)


def _warnings(summary: RunSummary) -> Iterator[str]:
    yield from summary.state.warnings
    yield from summary.notes
    if summary.plan is not None:
        yield from (d.describe() for d in summary.plan.drift if d.is_warning)
        yield from (skipped.describe() for skipped in summary.plan.skipped)
        yield from summary.plan.warnings
    for step in (step for segment in summary.segments for step in segment.steps):
        if step.script.language is Language.SQL and not step.analysis.statements:
            yield f"Migration {step.migration.label} is empty. {step.migration.path}."
    if summary.probe is not None and summary.probe.behind_pooler:
        yield (
            "Lockgate is connected through a pooler or proxy. Prefer the cluster endpoint: the lock is"
            " safest on a session of its own."
        )


def _write_next_action(summary: RunSummary, status: Status) -> str | None:
    hint = _next_action(summary, status)
    return None if hint is None else write_hint(hint, summary.address)


def _next_action(summary: RunSummary, status: Status) -> str | None:
    state = summary.state
    if state.error is not None:
        return state.error.hint
    if summary.advice is not None:
        return summary.advice
    return _advise_to_run(summary) if status is Status.PLANNED else None


def _advise_to_run(summary: RunSummary) -> str:
    """Return how to do what was only shown."""
    request, is_terminal = summary.state.request, summary.address.is_terminal
    if request.is_down:
        return "Run down to undo what is listed."
    if request.dry_run and request.action is Action.REPAIR:
        way = "Run the same with --apply" if is_terminal else "Send the same with dry_run false"
        return f"{way} to do it."
    if request.dry_run:
        way = "Run the same without --dry-run" if is_terminal else "Send the same without dry_run"
        return f"{way} to do it."
    if any(step.direction is Direction.DOWN for step in summary.waiting):
        return "Run up to do what is listed. An undo that would lose data is not done."
    return "Run up to apply what is pending."


def _digest_catalog(summary: RunSummary, status: Status) -> str | None:
    """Return the digest of the catalog, if the run leaves all of it and no more in the database."""
    state, plan, catalog = summary.state, summary.plan, summary.state.catalog
    if state.request.action is not Action.UP or status not in SUCCESSES:
        return None
    if plan is None or catalog is None or plan.skipped or any(r.version for r in plan.ahead):
        return None
    rows = state.history.rows
    present = {row.migration_id for row in rows if row.state is State.APPLIED}
    if not catalog.by_id.keys() <= present | state.done.keys():
        return None
    if state.unread is not None:
        return digest_lines(state.unread.lines)
    return digest_catalog(catalog)
