"""The events of one run folded into what a report shows of it."""

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
class Picture:
    """What the events of a run have told so far.

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


def _begin(picture: Picture) -> None:
    """With the first decision, remember where the database stood."""
    if not picture.has_begun:
        picture.from_version, picture.has_begun = picture.state.history.latest, True


def _see_server(picture: Picture, event: events.ServerSeen) -> None:
    picture.probe, picture.endpoint = event.probe, event.endpoint


def _settle(picture: Picture, event: events.Settled) -> None:
    picture.from_version, picture.is_settled = event.version, True
    picture.plan, picture.segments, picture.waiting = None, (), ()


def _see_plan(picture: Picture, event: events.Planned) -> None:
    _begin(picture)
    picture.plan = event.plan
    undone = tuple(step for segment in event.undone for step in segment.steps)
    picture.waiting = (*undone, *event.plan.steps)
    if event.plan.has_pending or not picture.state.done:
        picture.segments = (*event.undone, *event.plan.segments)


def _see_undo(picture: Picture, event: events.UndoPlanned) -> None:
    _begin(picture)
    if picture.state.request.action is not Action.UP:
        picture.waiting = event.undo_plan.steps
        picture.segments = event.undo_plan.segments or picture.segments


def _see_amendment(picture: Picture, event: events.AmendmentPlanned) -> None:
    _begin(picture)
    amendment = event.amendment
    picture.recorded = (
        *(file_entry(record.migration, record.applied_at) for record in amendment.recorded),
        *(file_entry(migration, None, "accepted") for migration in amendment.accepted),
    )
    picture.forgotten = tuple(row_entry(row) for row in amendment.forgotten)
    picture.notes = amendment.warnings


def _add_time(picture: Picture, event: events.PhaseEnded) -> None:
    picture.timings[event.name] = picture.timings.get(event.name, 0) + event.own_ms


def _see_runs(picture: Picture, event: events.RunsListed) -> None:
    picture.runs = event.runs


def _see_actions(picture: Picture, event: events.ActionsRead) -> None:
    picture.actions = event.actions


def _see_warnings(picture: Picture, event: events.FilesWarned) -> None:
    picture.notes = event.warnings


def _see_advice(picture: Picture, event: events.Advised) -> None:
    picture.advice = event.hint


def _finish(picture: Picture, _: events.RunFinished) -> None:
    picture.is_finished = True


def _see_backup(picture: Picture, event: events.BackedUp) -> None:
    picture.backup = event.backup


_HANDLERS: dict[type[Event], Callable[[Picture, Any], None]] = {
    events.PhaseEnded: _add_time,
    events.ServerSeen: _see_server,
    events.Settled: _settle,
    events.Planned: _see_plan,
    events.UndoPlanned: _see_undo,
    events.NothingToUndo: lambda picture, _: _begin(picture),
    events.AmendmentPlanned: _see_amendment,
    events.RunsListed: _see_runs,
    events.ActionsRead: _see_actions,
    events.FilesWarned: _see_warnings,
    events.Advised: _see_advice,
    events.BackedUp: _see_backup,
    events.RunFinished: _finish,
}


def fold(snapshot: Iterable[Event]) -> Picture | None:
    """Return what the events of a run tell, or ``None`` if it has not even started."""
    picture = None
    for event in snapshot:
        if isinstance(event, events.RunStarted):
            state = RunState(event.run_id, event.request)
            picture = Picture(state, event.at, event.address)
        elif picture is not None:
            picture.note(event)
    return picture
