"""What a run has sent to the server, and which answers it got.

`core.state_after` decides from this what a report may claim after a failure.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.core.history import State
from lockgate.core.transaction_mode import Mode, UnitMode
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.failure import Failure
    from lockgate.core.history import History
    from lockgate.core.segment import Segment

_IN_PART = frozenset({State.PARTIAL, State.REVERTING})


@dataclass(slots=True)
class SentWork:
    """Records the steps of a run on which a claim about the database is based.

    ``under_way`` is the last segment sent, unless it is known to be done. ``outside`` lists the
    migrations that this run began outside a transaction. ``is_cut_off``: a former session of this run,
    or another run, may still write, so that the history proves nothing. ``stub`` is another tool's
    empty history table that this run created and, as far as it knows, has not dropped.
    """

    has_tried: bool = False
    has_sent: bool = False
    is_in_doubt: bool = False
    was_read: bool = False
    is_cut_off: bool = False
    under_way: Segment | None = None
    stub: str | None = None
    outside: list[str] = field(default_factory=list)

    @property
    def has_sent_anything(self) -> bool:
        """Whether anything was sent that changes more than Lockgate's own tables and lock."""
        return self.has_sent or self.stub is not None

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
        """Note that the outcome of the last message is unknown."""
        self.is_in_doubt, self.is_cut_off, self.was_read = True, True, False

    def note_restored(self) -> None:
        """Note that this run holds the lock on its current connection."""
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
        """Return the migration that may be partly applied, or ``None``."""
        if failure is not None and failure.has_committed:
            return failure.migration
        if not self.was_read:
            is_outside = self.under_way is not None and self.under_way.mode is Mode.STATEMENTS
            return self.outside[-1] if is_outside else None
        states = {row.migration_id: row.state for row in history.rows}
        begun = next((one for one in self.outside if states.get(one) in _IN_PART), None)
        return begun or self._find_untold(failure)

    def _find_untold(self, failure: Failure | None) -> str | None:
        """Return the migration of a failed statement outside a transaction that no row records."""
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
