"""Folds the events of one run into a summary, from which its report is made."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from lockgate.core import events
from lockgate.core.request import Action
from lockgate.core.run_state import RunState
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.entry import file_entry, row_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lockgate.core.address import Address
    from lockgate.core.endpoint import Endpoint
    from lockgate.core.events import Event
    from lockgate.core.migration import Version
    from lockgate.core.plan import Plan
    from lockgate.core.probe import Probe
    from lockgate.core.run_record import RunRecord
    from lockgate.core.segment import Segment, Step
    from lockgate.report.report import Entry


@dataclass(slots=True)
class RunSummary:
    """What is known about a run from its events so far.

    ``waiting`` is what was planned, ``segments`` how. ``recorded`` and ``forgotten`` are what an
    amendment writes or would write. ``from_version`` counts once ``has_begun``.
    """

    state: RunState
    started_at: float
    address: Address
    probe: Probe | None = None
    endpoint: Endpoint | None = None
    plan: Plan | None = None
    segments: tuple[Segment, ...] = ()
    waiting: tuple[Step, ...] = ()
    recorded: tuple[Entry, ...] = ()
    forgotten: tuple[Entry, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    actions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    advice: str | None = None
    backup: dict[str, Any] | None = None
    timings: dict[str, int] = field(default_factory=dict)
    from_version: Version | None = None
    has_begun: bool = False
    is_finished: bool = False
    is_settled: bool = False

    def note(self, event: Event) -> None:
        """Take one event in."""
        self.state.note(event)
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)


def _begin(summary: RunSummary) -> None:
    """With the first decision, remember where the database stood."""
    if not summary.has_begun:
        summary.from_version, summary.has_begun = summary.state.history.latest, True


def _see_server(summary: RunSummary, event: events.ServerSeen) -> None:
    summary.probe, summary.endpoint = event.probe, event.endpoint


def _settle(summary: RunSummary, event: events.Settled) -> None:
    summary.from_version, summary.is_settled = event.version, True
    summary.plan, summary.segments, summary.waiting = None, (), ()


def _see_plan(summary: RunSummary, event: events.Planned) -> None:
    _begin(summary)
    summary.plan = event.plan
    undone = tuple(step for segment in event.undone for step in segment.steps)
    summary.waiting = (*undone, *event.plan.steps)
    if event.plan.has_pending or not summary.state.done:
        summary.segments = (*event.undone, *event.plan.segments)


def _see_undo(summary: RunSummary, event: events.UndoPlanned) -> None:
    _begin(summary)
    if summary.state.request.action is not Action.UP:
        summary.waiting = event.undo_plan.steps
        summary.segments = event.undo_plan.segments or summary.segments


def _see_amendment(summary: RunSummary, event: events.AmendmentPlanned) -> None:
    _begin(summary)
    amendment = event.amendment
    summary.recorded = (
        *(file_entry(record.migration, record.applied_at) for record in amendment.recorded),
        *(file_entry(migration, None, "accepted") for migration in amendment.accepted),
    )
    summary.forgotten = tuple(row_entry(row) for row in amendment.forgotten)
    summary.notes = amendment.warnings


def _add_time(summary: RunSummary, event: events.PhaseEnded) -> None:
    summary.timings[event.name] = summary.timings.get(event.name, 0) + event.own_ms


def _see_runs(summary: RunSummary, event: events.RunsListed) -> None:
    summary.runs = event.runs


def _see_actions(summary: RunSummary, event: events.ActionsRead) -> None:
    summary.actions = event.actions


def _see_warnings(summary: RunSummary, event: events.FilesWarned) -> None:
    summary.notes = event.warnings


def _see_advice(summary: RunSummary, event: events.Advised) -> None:
    summary.advice = event.hint


def _finish(summary: RunSummary, _: events.RunFinished) -> None:
    summary.is_finished = True


def _see_backup(summary: RunSummary, event: events.BackedUp) -> None:
    summary.backup = event.backup


_HANDLERS: dict[type[Event], Callable[[RunSummary, Any], None]] = {
    events.PhaseEnded: _add_time,
    events.ServerSeen: _see_server,
    events.Settled: _settle,
    events.Planned: _see_plan,
    events.UndoPlanned: _see_undo,
    events.NothingToUndo: lambda summary, _: _begin(summary),
    events.AmendmentPlanned: _see_amendment,
    events.RunsListed: _see_runs,
    events.ActionsRead: _see_actions,
    events.FilesWarned: _see_warnings,
    events.Advised: _see_advice,
    events.BackedUp: _see_backup,
    events.RunFinished: _finish,
}


def fold(snapshot: Iterable[Event]) -> RunSummary | None:
    """Return the summary of a run, or ``None`` if it has not even started."""
    summary = None
    for event in snapshot:
        if isinstance(event, events.RunStarted):
            state = RunState(event.run_id, event.request)
            summary = RunSummary(state, event.at, event.address)
        elif summary is not None:
            summary.note(event)
    return summary
