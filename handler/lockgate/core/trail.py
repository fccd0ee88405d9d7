"""What one run has sent and heard of its own work. Knows segments and rows; decides no state.

`core.state_after` reads from it what a failure may claim.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.core.analysis import Mode, UnitMode
from lockgate.core.history import State
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.failure import Failure
    from lockgate.core.history import History
    from lockgate.core.segment import Segment

_IN_PART = frozenset({State.PARTIAL, State.REVERTING})


@dataclass(slots=True)
class Trail:
    """Notes each step of a run that a claim about the database rests on.

    ``under_way`` is the segment that was sent last and is not known to be done. ``outside`` holds the
    migrations that this run has begun outside a transaction. ``is_cut_off``: another session of this
    run's, or another run, may still write, so that to read the history proves nothing. ``stub`` is
    another tool's empty history table that this run has made and not dropped, as far as it knows.
    """

    has_tried: bool = False
    has_sent: bool = False
    is_in_doubt: bool = False
    was_read: bool = False
    is_cut_off: bool = False
    under_way: Segment | None = None
    stub: str | None = None
    outside: list[str] = field(default_factory=list)

    def note_attempt(self) -> None:
        """Note that a statement that changes Lockgate's own tables is about to be sent."""
        self.has_tried = True

    def note_sending(self, segment: Segment | None) -> None:
        """Note that a segment, or for ``None`` rows of the history, are about to be sent."""
        self.has_sent, self.was_read, self.under_way = True, False, segment
        if segment is not None and segment.mode is Mode.STATEMENTS:
            self.outside.append(segment.steps[0].migration.migration_id)

    def note_success(self) -> None:
        """Note that the server has confirmed everything that was sent."""
        self.under_way = None

    def note_lost_connection(self) -> None:
        """Note that nobody knows what became of the last message."""
        self.is_in_doubt, self.is_cut_off, self.was_read = True, True, False

    def note_restored(self) -> None:
        """Note that the lock is this run's, on the connection that it has now."""
        self.is_cut_off = False

    def note_lost_lock(self) -> None:
        """Note that another run may write from now on."""
        self.is_cut_off = True

    def note_history(self) -> None:
        """Note that the history was read."""
        if not self.is_cut_off:
            self.is_in_doubt, self.was_read = False, True

    def note_end(self) -> None:
        """Note that the end of the run was recorded, and all of its commits with it."""
        self.is_in_doubt = False

    def find_part(self, history: History, failure: Failure | None) -> str | None:
        """Return the migration of which a part may have stayed, or ``None``."""
        if failure is not None and failure.has_committed:
            return failure.migration
        if not self.was_read:
            is_outside = self.under_way is not None and self.under_way.mode is Mode.STATEMENTS
            return self.outside[-1] if is_outside else None
        states = {row.migration_id: row.state for row in history.rows}
        begun = next((one for one in self.outside if states.get(one) in _IN_PART), None)
        return begun or self._find_untold(failure)

    def _find_untold(self, failure: Failure | None) -> str | None:
        """Return the migration of a failed statement that no transaction held and no row tells of."""
        segment = self.under_way
        if failure is None or segment is None or segment.mode is not Mode.STATEMENTS:
            return None
        step = segment.steps[0]
        index = None if failure.statement is None else failure.statement - 1
        is_held = index is None or any(
            unit.first <= index <= unit.last and unit.mode is not UnitMode.ALONE
            for unit in step.analysis.units
        )
        return None if is_held else step.migration.migration_id
