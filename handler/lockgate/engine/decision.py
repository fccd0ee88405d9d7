"""What commands decide by, and what they can decide. Values only.

A command is a generator. It yields an `Ask` for each further fact that it needs, which it is sent, and
an `Event` for each thing that it has found out, and it returns its decision. So it reads nothing by
itself, asks for nothing that it does not need, and a test can answer in place of a server.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from lockgate.core.history import EMPTY_HISTORY, History
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from lockgate.core.amendment import Amendment
    from lockgate.core.catalog import Catalog, TableStub
    from lockgate.core.events import Event
    from lockgate.core.history import StoredScripts
    from lockgate.core.policy import Policy, Rollback
    from lockgate.core.probe import Probe
    from lockgate.core.request import Request
    from lockgate.core.run_state import RunState
    from lockgate.core.segment import Segment
    from lockgate.core.undo_facts import UndoFacts
    from lockgate.core.undo_plan import Substitute
    from lockgate.engine.needs import Need
    from lockgate.errors import LockgateError
    from lockgate.report.report import Status


@dataclass(frozen=True, slots=True)
class Ask:
    """A fact that is missing. ``subject`` is what to read it for; its type depends on the need."""

    need: Need
    subject: Any = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of server and folder when a decision is due.

    ``is_settled``: files and history agree, so that neither was read. Under the lock, ``sent`` is the
    amendment that this run has sent, ``former`` the texts that repeatable migrations had, and
    ``measured`` what this run has measured of its own work. ``substitute`` fills the variables of a
    script that the history keeps.
    """

    probe: Probe
    run_id: str
    substitute: Substitute
    catalog: Catalog | None = None
    history: History = EMPTY_HISTORY
    is_settled: bool = False
    sent: Amendment | None = None
    former: Mapping[str, StoredScripts] = field(default_factory=dict)
    measured: UndoFacts | None = None

    @property
    def files(self) -> Catalog:
        """The catalog, of a command that needs files."""
        assert self.catalog is not None
        return self.catalog


# Decisions without the lock.


@dataclass(frozen=True, slots=True)
class Conclude:
    """Nothing is left to do, or it was only to be shown."""

    status: Status


@dataclass(frozen=True, slots=True)
class BreakLock:
    """Free the lock of another run."""


@dataclass(frozen=True, slots=True)
class WorkUnderLock:
    """Wait for the lock, and work from this stage on."""

    stage: Stage


@dataclass(frozen=True, slots=True)
class FreeDeadLock:
    """There is nothing to do: try once, without waiting, to free the lock of a run that died.

    With the lock, the work begins at this stage, since the run may have died before its end.
    """

    stage: Stage


Decision = Conclude | BreakLock | WorkUnderLock | FreeDeadLock


# Decisions under the lock.


@dataclass(frozen=True, slots=True)
class Work:
    """Segments to apply, or an amendment to write; without either, the stage has ended.

    Unless ``is_last``, more is planned after them. ``undone`` are the facts of what an automatic undo
    undoes, in one segment, which is never split. ``stub`` is another tool's table to create first,
    ``former`` texts to keep. ``is_described``: whether the database is described before the first
    change; ``None`` leaves that to a later plan. ``stage`` replaces the stage that planned this.
    ``concluding`` has happened once it is done.
    """

    segments: tuple[Segment, ...] = ()
    amendment: Amendment | None = None
    may_lose_rows: bool = True
    is_last: bool = True
    undone: UndoFacts | None = None
    stub: TableStub | None = None
    former: Mapping[str, StoredScripts] = field(default_factory=dict)
    is_described: bool | None = None
    stage: Stage | None = None
    concluding: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class StageFailure:
    """What a stage decides by once it has failed. ``is_over``: no further work may start."""

    error: LockgateError
    state: RunState
    rollback: Rollback
    is_over: bool


class Stage(Protocol):
    """A part of the work under the lock. It is planned anew whenever the truth may have changed."""

    @property
    def reloads_undone(self) -> bool:
        """Whether what the run has undone is taken from the history before each plan."""
        ...

    @property
    def keeps_facts(self) -> bool:
        """Whether what the run did is kept for an older package once the stage is over."""
        ...

    def plan(
        self, facts: Facts, request: Request, policy: Policy
    ) -> Generator[Ask | Event, Any, Work]:
        """Decide what to do now. Raises a `LockgateError` if it may not be done."""
        ...

    def after_success(self, state: RunState) -> Stage | Status:
        """Return what follows, or how the work ends."""
        ...

    def after_failure(self, failure: StageFailure) -> Generator[Ask | Event, Any, Stage | Status]:
        """Return what follows a failure, or raise the error that the run ends with."""
        ...
