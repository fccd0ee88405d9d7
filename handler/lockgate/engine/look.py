"""The first step: look at the server, and read the files while it answers.

With nothing pending and the lock free it is also the last one. It is the door to everything that more
than a look needs: that is imported here, and only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core import events
from lockgate.core.listing import find_known
from lockgate.core.request import Action, Request
from lockgate.engine.needs import NEEDS, Need
from lockgate.engine.run_step import StepBeforeLock
from lockgate.errors import LockgateError
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.report import Status

if TYPE_CHECKING:
    from lockgate.core.listing import Listing
    from lockgate.core.probe import Probe
    from lockgate.engine.context import RunContext
    from lockgate.engine.dependencies import RunDependencies
    from lockgate.engine.run_step import Following

# What has nothing to do if files and history agree.
_FOR_PENDING = frozenset({Action.UP, Action.PLAN})


@dataclass(frozen=True, slots=True)
class Look(StepBeforeLock):
    """Look at server and folder."""

    run: RunContext

    def do(self) -> Following:
        """End if there is nothing to do and the lock is free; otherwise, decide."""
        needed, request = self.run.dependencies, self.run.request
        probe, listing = _look(needed, request)
        needed.events.add(events.ServerSeen(probe, needed.database.endpoint))
        known = None
        if listing is not None and _is_whole(request):
            known = find_known(listing, probe)
        is_settled = listing is not None and known == listing.versioned
        if listing is not None and is_settled:
            version = listing.version(known - 1) if known else None
            needed.events.add(events.Settled(version))
            if not probe.is_held:
                return Status.UP_TO_DATE
            needed.events.add(events.FilesRead(needed.read_catalog(listing, 0)))
        from lockgate.engine.before_lock import Decide

        return Decide(self.run, probe, listing, known, is_settled=is_settled)


def _look(needed: RunDependencies, request: Request) -> tuple[Probe, Listing | None]:
    """Connect, and list the files while the server works: a new session needs its time.

    Check that the folder exists before connecting. If connecting fails, report a file error instead
    when there is one.
    """
    if Need.FILES not in NEEDS[request.action]:
        with needed.events.phase("connect"):
            return needed.database.probe(), None
    listing, is_connected = None, False

    def read_files() -> None:
        nonlocal listing, is_connected
        is_connected = True
        with needed.events.phase("read_files"):
            listing = needed.list_folder()

    needed.require_folder()
    with needed.events.phase("connect"):
        try:
            probe = needed.database.probe(read_files)
        except LockgateError:
            if not is_connected:
                needed.list_folder()
            raise
    return probe, listing


def _is_whole(request: Request) -> bool:
    """Tell whether a request is about whatever is pending, and nothing else."""
    return request.action in _FOR_PENDING and request.target is None and not request.is_down
