"""A report while it is being written. Knows what a run has seen and done; decides nothing."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any

from lockgate.core.history import EMPTY_HISTORY, Applied, History, State
from lockgate.core.listing import digest_catalog, digest_lines
from lockgate.core.migration import Direction, Language
from lockgate.core.request import Action, Request
from lockgate.core.state_after import RunFacts, StateClaim, find_state, make_unknown
from lockgate.core.trail import Trail
from lockgate.errors import (
    DatabaseBusy,
    DatabaseUnreachable,
    DriftDetected,
    LockgateError,
    MigrationFailed,
    OutcomeUnknown,
    RequestRefused,
    RunIncomplete,
)
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.entry import (
    done_entry,
    error_info,
    file_entry,
    reverted_entry,
    row_entry,
    step_entry,
    version_text,
)
from lockgate.report.report import (
    SUCCESSES,
    DatabaseInfo,
    DriftEntry,
    Entry,
    HolderInfo,
    LockInfo,
    Report,
    SegmentEntry,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lockgate.core.amendment import Amendment
    from lockgate.core.catalog import Catalog
    from lockgate.core.failure import Failure, StepFailed
    from lockgate.core.lease import Holder
    from lockgate.core.listing import Listing
    from lockgate.core.migration import Version
    from lockgate.core.outcome import Done, Taken
    from lockgate.core.plan import Plan
    from lockgate.core.probe import Probe
    from lockgate.core.reversal import Reversal
    from lockgate.core.run_record import RunRecord
    from lockgate.core.segment import Segment, Step
    from lockgate.core.target import Endpoint

_STATUS_OF: tuple[tuple[type[LockgateError], Status], ...] = (
    (RequestRefused, Status.REFUSED),
    (DriftDetected, Status.REFUSED),
    (DatabaseBusy, Status.BUSY),
    (RunIncomplete, Status.INCOMPLETE),
)


@dataclass(slots=True)
class ReportDraft:
    """Collects what one request meets; `to_report` makes the value.

    ``actions`` are those of the runs that wrote the history, by their ids, where they are to be shown.
    ``sent`` is what was sent to be written in the history. ``listing`` is there as long as ``catalog``
    is but a part of it.
    """

    run_id: str
    request: Request
    monotonic: Callable[[], float]
    listing: Listing | None = None
    catalog: Catalog | None = None
    probe: Probe | None = None
    history: History = EMPTY_HISTORY
    plan: Plan | None = None
    segments: tuple[Segment, ...] = ()
    waiting: tuple[Step, ...] = ()
    holder: Holder | None = None
    token: int | None = None
    waited_ms: int = 0
    done: dict[str, Done] = field(default_factory=dict)
    reverted: dict[str, Done] = field(default_factory=dict)
    recorded: tuple[Entry, ...] = ()
    forgotten: tuple[Entry, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    actions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    advice: str | None = None
    backup: dict[str, Any] | None = None
    error: LockgateError | None = None
    blamed: tuple[Failure, Segment] | None = None
    sent: Amendment | None = None
    trail: Trail = field(default_factory=Trail)
    warnings: list[str] = field(default_factory=list)
    timings: dict[str, int] = field(default_factory=dict)
    _from_version: Version | None = None
    _started: float = 0.0
    _settled: bool = False
    _inside: float = 0.0
    _has_begun: bool = False
    _undone_rows: dict[str, Applied] = field(default_factory=dict)
    # Of repeatable migrations that get their former text back, its checksum.
    _restored: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._started = self.monotonic()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase, less what phases inside it take; phases of one name add up."""
        started, around = self.monotonic(), self._inside
        self._inside = 0.0
        try:
            yield
        finally:
            elapsed = self.monotonic() - started
            own = round((elapsed - self._inside) * 1000)
            self.timings[name] = self.timings.get(name, 0) + own
            self._inside = around + elapsed

    def settle(self, version: Version | None) -> None:
        """Note that database and files agree, at that version, whatever was planned before."""
        self._from_version, self._settled = version, True
        self.plan, self.segments, self.waiting = None, (), ()

    def see(self, plan: Plan) -> None:
        """Note a plan, and with the first one where the database stood."""
        self._begin()
        self.plan = plan
        self.waiting = plan.steps
        if plan.has_pending or not self.done:
            self.segments = plan.segments

    def see_reversal(self, reversal: Reversal) -> None:
        """Note what is to be undone."""
        self._begin()
        if self.request.action is not Action.UP:
            self.waiting, self.segments = reversal.steps, reversal.segments or self.segments
        self._undone_rows |= {row.migration_id: row for step in reversal.steps if (row := step.row)}
        from lockgate.core.segment import Cause

        self._restored |= {
            step.migration.migration_id: step.script.checksum
            for step in reversal.steps
            if step.cause is Cause.RESTORED
        }

    def see_nothing(self) -> None:
        """Note that there is nothing to undo."""
        self._begin()

    def see_amendment(self, amendment: Amendment) -> None:
        """Note what is, or would be, written in the history without a migration being run."""
        self._begin()
        self.recorded = (
            *(file_entry(record.migration, record.applied_at) for record in amendment.recorded),
            *(file_entry(migration, None, "accepted") for migration in amendment.accepted),
        )
        self.forgotten = tuple(row_entry(row) for row in amendment.forgotten)
        self.notes = amendment.warnings

    def _begin(self) -> None:
        if not self._has_begun:
            self._from_version, self._has_begun = self.history.latest, True

    def take(self, taken: Taken) -> None:
        """Note the lock."""
        self.token = taken.token

    def warn(self, text: str) -> None:
        """Note something on which somebody should act."""
        self.warnings.append(text)

    def know_history(self, history: History) -> None:
        """Note the history as it was read under the lock; after a broken connection, trust it."""
        self.history = history
        is_restored = self.trail.is_in_doubt and not self.trail.is_cut_off
        if is_restored and self.request.action in {Action.UP, Action.DOWN}:
            if self.request.action is Action.UP:
                self.know_applied()
            self.know_reverted()
        self.trail.note_history()

    def know_applied(self) -> None:
        """Take the history's word for what this run has applied, after a connection broke."""
        from lockgate.core.outcome import Done

        self.done = {
            row.migration_id: Done(row.migration_id, row.duration_ms, row.applied_at)
            for row in self.history.rows
            if row.run_id == self.run_id
            and row.state is State.APPLIED
            and not self._is_restored(row)
        }

    def know_reverted(self) -> None:
        """Take the history's word for what this run has undone, after a connection broke."""
        from lockgate.core.outcome import Done

        left = {row.migration_id for row in self.history.rows if not self._is_restored(row)}
        for migration_id, row in self._undone_rows.items():
            if migration_id not in left and migration_id not in self.reverted:
                self.reverted[migration_id] = Done(migration_id, 0, row.applied_at, Direction.DOWN)

    def _is_restored(self, row: Applied) -> bool:
        """Tell whether a repeatable migration has its former text back."""
        return self._restored.get(row.migration_id) == row.checksum

    def on_applied(self, emit: Callable[..., None]) -> Callable[[Done], None]:
        """Return what to call for each migration that is in the database for good."""

        def note(done: Done) -> None:
            if done.direction is Direction.DOWN or done.migration_id in self._restored:
                self.done.pop(done.migration_id, None)
                self.reverted[done.migration_id] = done
                emit(
                    "migration_reverted", migration=done.migration_id, duration_ms=done.duration_ms
                )
                return
            self.done[done.migration_id] = done
            emit("migration_applied", migration=done.migration_id, duration_ms=done.duration_ms)

        return note

    def forgive(self) -> None:
        """Drop an error that the run goes on behind."""
        self.error, self.blamed = None, None

    def fail(self, error: LockgateError) -> Status:
        """Note an error and return the status that it gives the run."""
        self.error = error
        return status_of(error)

    def blame(self, error: StepFailed, segment: Segment) -> MigrationFailed:
        """Return the error of a failed step, which ends the run."""
        self.blamed = error.failure, segment
        return self.blame_again()

    def blame_again(self, note: str = "", hint: str | None = None) -> MigrationFailed:
        """Return it once more, with a note of what was tried since."""
        assert self.blamed is not None
        failure, segment = self.blamed
        self.error = MigrationFailed(
            f"{failure.describe()} {note}".rstrip(),
            hint=" ".join(filter(None, (failure.hint or _advise(failure, segment), hint))),
        )
        return self.error

    def _failure(self) -> Failure | None:
        """Return the failed step, if it is what the run ends with."""
        is_step = isinstance(self.error, MigrationFailed) and self.blamed is not None
        return self.blamed[0] if is_step and self.blamed is not None else None

    def claim(self) -> StateClaim:
        """Return in which state the run leaves the database, should it fail with its error now."""
        failure = self._failure()
        in_part = self.trail.find_part(self.history, failure)
        of_this_run = {one for one, row in self._undone_rows.items() if row.run_id == self.run_id}
        is_own_end = not isinstance(self.error, (DatabaseBusy, DatabaseUnreachable))
        return find_state(
            RunFacts(
                has_tried=self.trail.has_tried,
                has_lock=self.token is not None,
                has_sent=self.trail.has_sent,
                is_in_doubt=self.trail.is_in_doubt,
                was_read=self.trail.was_read,
                kept=tuple(one for one in self.done if one != in_part),
                undone_own=tuple(one for one in self.reverted if one in of_this_run),
                undone_others=tuple(one for one in self.reverted if one not in of_this_run),
                in_part=in_part,
                has_committed=failure is not None and failure.has_committed,
                has_failed_step=is_own_end
                and (failure is not None or self.trail.under_way is not None),
                is_outcome_unknown=isinstance(self.error, OutcomeUnknown),
                action=self.request.action,
                has_amended=self.sent is not None
                and self.sent.is_written(self.history, self.run_id),
                stub=self.trail.stub,
            )
        )

    def outcome(self, status: Status, endpoint: Endpoint | None) -> dict[str, str | None]:
        """Return what the run's row is finished with."""
        report = self.to_report(status, endpoint)
        return {
            "status": status.value,
            "from_version": report.from_version,
            "to_version": report.to_version,
            # PostgreSQL stores no NUL, and a database may hold less than Unicode.
            "report": json.dumps(report.to_json()).replace("\\u0000", ""),
            "catalog_digest": self._digest_catalog(status),
        }

    def _digest_catalog(self, status: Status) -> str | None:
        """Return the digest of the catalog, if the run leaves all of it and no more in the database."""
        plan, catalog = self.plan, self.catalog
        if self.request.action is not Action.UP or status not in SUCCESSES:
            return None
        if plan is None or catalog is None or plan.skipped or any(r.version for r in plan.ahead):
            return None
        present = {row.migration_id for row in self.history.rows if row.state is State.APPLIED}
        if not catalog.by_id.keys() <= present | self.done.keys():
            return None
        if self.listing is not None:
            return digest_lines(self.listing.lines)
        return digest_catalog(catalog)

    def to_report(self, status: Status, endpoint: Endpoint | None) -> Report:
        """Return the report as of now."""
        is_up = self.request.action is Action.UP
        over = self.done.keys() if is_up else self.reverted.keys()
        waiting = [step for step in self.waiting if step.migration.migration_id not in over]
        return Report(
            status=status,
            action=self.request.action,
            run_id=self.run_id,
            caller=self.request.caller.name,
            database=self._database(endpoint),
            from_version=version_text(self._from()),
            to_version=version_text(self._to_version()),
            applied=self._applied(),
            pending=tuple(step_entry(step) for step in waiting),
            ahead=() if self.plan is None else tuple(row_entry(row) for row in self.plan.ahead),
            reverted=tuple(
                reverted_entry(self._undone_rows[done.migration_id], done)
                for done in self.reverted.values()
                if done.migration_id in self._undone_rows
            ),
            recorded=self.recorded,
            forgotten=self.forgotten,
            drift=self._drift(),
            segments=self._segments(),
            history=self._listed_history(),
            runs=self.runs,
            error=None
            if self.error is None
            else error_info(self.error, self.claim(), self._failure()),
            lock=self._lock(),
            backup=self.backup,
            warnings=tuple(self._warnings()),
            next_action=self._next_action(status),
            duration_ms=round((self.monotonic() - self._started) * 1000),
            timings=dict(self.timings),
        )

    def _from(self) -> Version | None:
        """Return where the database stood; a run that made no plan has at least read the history."""
        has_begun = self._has_begun or self._settled
        return self._from_version if has_begun else self.history.latest

    def _to_version(self) -> Version | None:
        if self._settled:
            return self._from()
        forgotten = () if self.request.dry_run else self.forgotten
        gone = {*self.reverted, *(entry.version for entry in forgotten)}
        versions = [
            row.version
            for row in self.history.rows
            if row.state is State.APPLIED and row.migration_id not in gone
        ]
        if self.catalog is not None:
            recorded = (self.catalog.by_id.get(entry.version or "") for entry in self._written())
            versions += [migration.version for migration in recorded if migration is not None]
            known = (self.catalog.by_id.get(migration_id) for migration_id in self.done)
            versions += [migration.version for migration in known if migration is not None]
        return max((v for v in versions if v is not None), default=self.history.known_to)

    def _written(self) -> tuple[Entry, ...]:
        """Return what is in the database by this; an accepted row is where it was before."""
        recorded = () if self.request.dry_run else self.recorded
        return tuple(entry for entry in recorded if entry.state == State.APPLIED)

    def _database(self, endpoint: Endpoint | None) -> DatabaseInfo | None:
        if endpoint is None:
            return None
        version = None if self.probe is None else self.probe.server_version
        return DatabaseInfo(endpoint.host, endpoint.port, endpoint.dbname, version)

    def _applied(self) -> tuple[Entry, ...]:
        catalog = self.catalog
        if catalog is None:
            return ()
        found = ((catalog.by_id.get(done.migration_id), done) for done in self.done.values())
        return tuple(done_entry(migration, done) for migration, done in found if migration)

    def _drift(self) -> tuple[DriftEntry, ...]:
        if self.plan is None:
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
            for drift in self.plan.drift
        )

    def _segments(self) -> tuple[SegmentEntry, ...]:
        return tuple(
            SegmentEntry(
                mode=segment.mode,
                migrations=tuple(step.migration.migration_id for step in segment.steps),
                reason=segment.reason,
            )
            for segment in self.segments
        )

    def _listed_history(self) -> tuple[Entry, ...]:
        if self.request.action is not Action.STATUS:
            return ()
        return tuple(row_entry(row, self.actions.get(row.run_id)) for row in self.history.rows)

    def _lock(self) -> LockInfo | None:
        if self.token is None and self.holder is None and self.waited_ms == 0:
            return None
        holder = None
        if self.holder is not None:
            holder = HolderInfo(
                run_id=self.holder.run_id,
                caller=self.holder.caller,
                taken_at=self.holder.taken_at,
                expires_at=self.holder.expires_at,
                at=self.holder.at,
                reference=self.holder.reference,
                is_alive=self.holder.is_alive,
            )
        return LockInfo(self.waited_ms, self.token, holder)

    def _warnings(self) -> Iterator[str]:
        yield from self.warnings
        yield from self.notes
        if self.plan is not None:
            yield from (d.describe() for d in self.plan.drift if d.is_warning)
            yield from (skipped.describe() for skipped in self.plan.skipped)
            yield from self.plan.warnings
        for step in (step for segment in self.segments for step in segment.steps):
            if step.script.language is Language.SQL and not step.analysis.statements:
                yield f"Migration {step.migration.label} has no statement. {step.migration.path}."
        if self.probe is not None and self.probe.behind_pooler:
            yield (
                "A pooler or proxy is before the database. Prefer the cluster endpoint: the lock is"
                " surest on a session of its own."
            )

    def _next_action(self, status: Status) -> str | None:
        if self.error is not None:
            return self.error.hint
        if status is Status.PLANNED:
            if self.request.is_down:
                return "Run down to undo what is listed."
            if self.request.dry_run and self.request.action is Action.REPAIR:
                return "Send the same with dry_run false (in a terminal: with --apply) to do it."
            if self.request.dry_run:
                return "Send the same without dry_run (in a terminal: without --dry-run) to do it."
            return self.advice or "Run up to apply what is pending."
        return None


def _advise(failure: Failure, segment: Segment) -> str:
    """Return what to do about a script that failed."""
    if segment.steps[0].direction is Direction.UP:
        return "Fix the file and invoke again."
    version = failure.migration.split(" ")[0]
    return (
        "What ran is the down script in the history. Correct it in the file, take that into the history:"
        f' lockgate repair --accept {version} --reason "…" --apply; then ask again.'
    )


def refuse_report(run_id: str, error: LockgateError, claim: StateClaim) -> Report:
    """Return the report of a request that never reached a runner, or fell out of it.

    ``claim`` is what is known of the database all the same.
    """
    info = error_info(error, claim)
    return Report(
        status=status_of(error),
        action=None,
        run_id=run_id,
        error=info,
        next_action=info.hint,
    )


def status_of(error: LockgateError) -> Status:
    """Return the status that an error gives a run."""
    return next((status for cls, status in _STATUS_OF if isinstance(error, cls)), Status.FAILED)


def claim_of(report: Report) -> StateClaim:
    """Return what a report says of the database, for an error that takes the place of its own."""
    error = report.error
    if error is None:
        return make_unknown("the run ended, and how was not told")
    undone = tuple(entry.version or entry.name for entry in report.reverted)
    return StateClaim(
        error.state_after,
        error.state_evidence,
        kept=tuple(entry.version or entry.name for entry in report.applied),
        undone=undone,
        in_part=error.migration,
        is_outcome_unknown=error.code == OutcomeUnknown.code,
        action=report.action,
        reason="the run itself could not know it",
    )
