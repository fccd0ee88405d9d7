"""The events of a run, as frozen values.

The engine records them in an `EventLog`. The engine's `RunState`, the report, the log and the terminal
output depend only on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.address import Address
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lockgate.core.amendment import Amendment
    from lockgate.core.catalog import Catalog
    from lockgate.core.endpoint import Endpoint
    from lockgate.core.failure import Failure
    from lockgate.core.history import History
    from lockgate.core.lease import Holder
    from lockgate.core.listing import Listing
    from lockgate.core.migration import Version
    from lockgate.core.outcome import FinishedMigration
    from lockgate.core.plan import Plan
    from lockgate.core.probe import Probe
    from lockgate.core.request import Request
    from lockgate.core.run_record import RunRecord
    from lockgate.core.segment import Segment
    from lockgate.core.undo_plan import UndoPlan
    from lockgate.errors import LockgateError

_TERMINAL = Address()


class Event:
    """Something that happened in a run."""

    __slots__ = ()


# At any time.


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run began to work on a request. ``at`` is the monotonic clock in seconds.

    ``address`` is where its reader runs commands.
    """

    run_id: str
    request: Request
    at: float
    address: Address = _TERMINAL


@dataclass(frozen=True, slots=True)
class PhaseEnded(Event):
    """A phase of the run ended. ``own_ms`` excludes the phases inside it."""

    name: str
    own_ms: int


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """A warning that calls for action."""

    text: str


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The run ends with this error, or with a later one."""

    error: LockgateError


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The run is over; these are the main values of its report."""

    status: str
    action: str | None
    applied: int
    pending: int
    duration_ms: int
    error_code: str | None
    error: str | None


# The connection.


@dataclass(frozen=True, slots=True)
class ServerSeen(Event):
    """The server answered the first query."""

    probe: Probe
    endpoint: Endpoint | None


@dataclass(frozen=True, slots=True)
class ConnectionBroke(Event):
    """The connection broke, and a new one is tried. ``sqlstate`` is the last one from the server."""

    reason: str
    sqlstate: str | None


@dataclass(frozen=True, slots=True)
class AnswerLost(Event):
    """The effect of the last messages is unknown: their answer was lost, or the server crashed."""


@dataclass(frozen=True, slots=True)
class ConnectionRestored(Event):
    """The run continues with a new connection and its lock."""


# Reading.


@dataclass(frozen=True, slots=True)
class FilesRead(Event):
    """The folder was read. ``unread`` lists all files if the catalog contains only some of them."""

    catalog: Catalog
    unread: Listing | None = None


@dataclass(frozen=True, slots=True)
class HistoryRead(Event):
    """The history was read. ``is_locked``: under the lock of this run."""

    history: History
    is_locked: bool = False


@dataclass(frozen=True, slots=True)
class ActionsRead(Event):
    """The actions of the runs that wrote the history, by run id."""

    actions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunsListed(Event):
    """The last runs were read, the newest first."""

    runs: tuple[RunRecord, ...]


# Decisions.


@dataclass(frozen=True, slots=True)
class Settled(Event):
    """Database and files agree, at this version."""

    version: Version | None


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """An up was planned. ``undone``: what it undoes before."""

    plan: Plan
    undone: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class UndoPlanned(Event):
    """An undo was planned."""

    undo_plan: UndoPlan


@dataclass(frozen=True, slots=True)
class NothingToUndo(Event):
    """A down selected no migrations."""


@dataclass(frozen=True, slots=True)
class AmendmentPlanned(Event):
    """A change of the history alone was planned."""

    amendment: Amendment


@dataclass(frozen=True, slots=True)
class FilesWarned(Event):
    """Warnings about files that were applied already."""

    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Advised(Event):
    """What to do next, if the run does not fail."""

    hint: str | None


# The lock.


@dataclass(frozen=True, slots=True)
class ChangeAttempted(Event):
    """A statement that changes Lockgate's own tables is about to be sent."""


@dataclass(frozen=True, slots=True)
class HolderSeen(Event):
    """The observed holder of the lock; ``None`` if it is free again."""

    holder: Holder | None


@dataclass(frozen=True, slots=True)
class WaitBegan(Event):
    """The run began to wait for another run's lock."""

    holder: str


@dataclass(frozen=True, slots=True)
class Waited(Event):
    """The total time for which the run has waited for the lock."""

    waited_ms: int


@dataclass(frozen=True, slots=True)
class LockTaken(Event):
    """The run took the lock. ``former_run`` is the dead run from which it was taken."""

    token: int
    former_run: str | None


@dataclass(frozen=True, slots=True)
class LockRetaken(Event):
    """The run holds the lock on its new connection."""


@dataclass(frozen=True, slots=True)
class LockLost(Event):
    """Another run may write from now on."""


@dataclass(frozen=True, slots=True)
class LockBroken(Event):
    """An operator freed the lock of another run."""

    holder: Holder


@dataclass(frozen=True, slots=True)
class LockNotReleased(Event):
    """The run ended without releasing its lock."""

    reason: str


@dataclass(frozen=True, slots=True)
class EndRecorded(Event):
    """The end of the run was recorded, and all of its commits with it."""


# The work.


@dataclass(frozen=True, slots=True)
class BackedUp(Event):
    """The database was backed up; ``backup`` is the value in the report."""

    backup: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SegmentSent(Event):
    """A segment is about to be sent."""

    segment: Segment


@dataclass(frozen=True, slots=True)
class SegmentDone(Event):
    """The server has confirmed the last segment."""


@dataclass(frozen=True, slots=True)
class SegmentSplit(Event):
    """A segment was too large for one transaction and is tried in parts."""

    sqlstate: str | None
    migrations: int


@dataclass(frozen=True, slots=True)
class SegmentRetried(Event):
    """Another session held a lock; the segment is retried."""

    failure: Failure
    attempt: int


@dataclass(frozen=True, slots=True)
class Applied(Event):
    """A migration was applied and committed."""

    done: FinishedMigration


@dataclass(frozen=True, slots=True)
class Undone(Event):
    """A migration was undone, or has its former text again, and that was committed."""

    done: FinishedMigration


@dataclass(frozen=True, slots=True)
class AppliedReloaded(Event):
    """The list of what the run applied was replaced with what the last read history contains."""


@dataclass(frozen=True, slots=True)
class UndoneReloaded(Event):
    """Migrations missing from the last read history were added to what the run has undone."""


@dataclass(frozen=True, slots=True)
class UndoStarted(Event):
    """A migration failed, and the undo of what this run applied is about to begin."""

    migrations: int


@dataclass(frozen=True, slots=True)
class UndoFailed(Event):
    """The undo failed, and what this run applied stays."""

    reason: str


@dataclass(frozen=True, slots=True)
class UndoOfNewerRefused(Event):
    """The undo of a newer package's migrations was refused, and they stay."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class StubSent(Event):
    """Another tool's empty history table is about to be created."""

    table: str


@dataclass(frozen=True, slots=True)
class StubGone(Event):
    """No stub that this run created exists any more."""


@dataclass(frozen=True, slots=True)
class AmendmentSent(Event):
    """Rows of the history are about to be written without running a migration."""

    amendment: Amendment
