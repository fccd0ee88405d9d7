"""Taking the lock, by force if asked, and what to do about its holder. `lock_table` has the SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.address import make_command
from lockgate.core.hint import Hint
from lockgate.core.lease import Holder, LockAction, Terms, decide_lock_action
from lockgate.core.request import Action
from lockgate.errors import DatabaseBusy
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.server.statement_result import StatementError
from lockgate.postgres.tables.lock_table import (
    force_unlock,
    is_holder_alive,
    read_holder,
    take_free_lock,
    take_over_lock,
    terminate_holder,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.core.deadline import Clock
    from lockgate.core.outcome import TakenLock
    from lockgate.postgres.server.own_session import OwnConnection
    from lockgate.postgres.tables.table_names import Tables

_TERMINATION_SECONDS = 5.0
_TERMINATION_POLL_SECONDS = 0.05

# A holder may release the lock between two statements of the run that takes it.
_ATTEMPTS = 3
_ATTEMPT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock of one history, over one connection."""

    connection: OwnConnection
    tables: Tables
    clock: Clock

    def take(self, terms: Terms, meanwhile: Callable[[], object] | None = None) -> TakenLock | None:
        """Take the lock, or return ``None`` while another run has it.

        ``meanwhile`` is called while the server works.

        If the lease of a holder has ended but its session still runs, end that session first: otherwise
        a statement outside a transaction could continue during this run.

        Raises:
            DatabaseBusy: that session did not end, or this role may not end it.
        """
        for attempt in range(_ATTEMPTS):
            if attempt:
                self.clock.sleep(_ATTEMPT_SECONDS)
            taken = take_free_lock(self.connection, self.tables, terms, meanwhile)
            if taken is not None:
                return taken
            holder = read_holder(self.connection, self.tables)
            if holder is None:
                continue
            if decide_lock_action(holder) is LockAction.WAIT:
                return None
            self._end_expired_holder(holder)
            taken = take_over_lock(self.connection, self.tables, terms, holder)
            if taken is not None:
                return taken
        return None

    def _end_expired_holder(self, holder: Holder) -> None:
        if decide_lock_action(holder) is LockAction.TERMINATE and not self.end_session(holder):
            raise DatabaseBusy(
                f"The lease of run {holder.run_id} has ended, but its session (pid {holder.pid}) still"
                " runs and this role may not end it.",
                hint="End that session as the role that owns it, or grant pg_signal_backend to this"
                " role; then invoke again.",
            )

    def force_unlock(self, terms: Terms) -> tuple[Holder, bool] | None:
        """Release the lock of another run, fence that run and end its session.

        Returns the holder and whether its session is gone, or ``None`` if nobody held the lock.

        Raises:
            DatabaseBusy: at each attempt another run had just taken it.
        """
        for _ in range(_ATTEMPTS):
            holder = read_holder(self.connection, self.tables)
            if holder is None:
                return None
            if force_unlock(self.connection, self.tables, terms, holder):
                is_gone = not holder.is_alive or not holder.is_known or self.end_session(holder)
                return holder, is_gone
        raise DatabaseBusy(
            f"The lock was not released: at each of {_ATTEMPTS} attempts another run had just taken it.",
            hint=Hint("See who holds it now: ", make_command(Action.STATUS)),
        )

    def end_session(self, holder: Holder) -> bool:
        """End the session of a holder and return whether it is gone."""
        try:
            terminate_holder(self.connection, holder)
        except StatementError:
            return False
        ends_at = self.clock.monotonic() + _TERMINATION_SECONDS
        while is_holder_alive(self.connection, holder):
            if self.clock.monotonic() > ends_at:
                return False
            self.clock.sleep(_TERMINATION_POLL_SECONDS)
        return True
