"""What a run needs from its environment, as protocols and values."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lockgate.core.address import Address
    from lockgate.core.amendment import Amendment
    from lockgate.core.backup import Backup
    from lockgate.core.catalog import Catalog, CreatedStub
    from lockgate.core.deadline import Clock, Deadline
    from lockgate.core.endpoint import Endpoint
    from lockgate.core.event_log import EventLog
    from lockgate.core.first_contact import Table
    from lockgate.core.history import History, StoredScripts
    from lockgate.core.lease import Holder, Terms
    from lockgate.core.listing import Listing
    from lockgate.core.outcome import FinishedMigration, TakenLock
    from lockgate.core.policy import Policy
    from lockgate.core.probe import Probe
    from lockgate.core.run_record import RunRecord
    from lockgate.core.segment import Segment, Step
    from lockgate.core.undo_facts import Description, TransactionFacts, UndoFacts
    from lockgate.core.undo_plan import Substitute
    from lockgate.formats.tool import Ask, TableName


class Records(Protocol):
    """What is recorded in Lockgate's tables and the catalogs; see `postgres.records.Records`."""

    def read_runs(self, limit: int) -> tuple[RunRecord, ...]: ...
    def read_undo_facts(self, run_ids: Sequence[str]) -> list[str | None]: ...
    def read_scripts(self, migration_ids: Sequence[str]) -> dict[str, StoredScripts]: ...
    def has_changed_anything(self) -> bool: ...
    def has_recorded(self, digest: str, token: int) -> bool: ...
    def read_actions(self) -> dict[str, str]: ...
    def list_tables(self) -> tuple[Table, ...]: ...


class Database(Protocol):
    """What a run needs of a database without the lock; `postgres.database.Database` is the real one."""

    @property
    def endpoint(self) -> Endpoint | None: ...
    @property
    def is_borrowed(self) -> bool: ...
    @property
    def records(self) -> Records: ...
    def probe(self, meanwhile: Callable[[], object] | None = None) -> Probe: ...
    def install(self, probe: Probe) -> None: ...
    def cache_history(self, history: History) -> None: ...
    def read_history(self) -> History: ...
    def take_lock(self, terms: Terms) -> HeldLock | None: ...
    def read_holder(self) -> Holder | None: ...
    def force_unlock(self, terms: Terms) -> tuple[Holder, bool] | None: ...
    def check_steps(self, steps: Sequence[Step]) -> None: ...
    @property
    def schema(self) -> str: ...
    @property
    def ask(self) -> Ask: ...
    def close(self) -> None: ...


class HeldLock(Protocol):
    """What only the holder of the lock may do; `postgres.held_lock.HeldLock` is the real one."""

    @property
    def taken(self) -> TakenLock: ...
    @property
    def was_cancelled(self) -> bool: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    def apply(
        self,
        segment: Segment,
        on_applied: Callable[[FinishedMigration], None],
        *,
        may_lose_rows: bool = True,
        collects_facts: bool = False,
        undone: UndoFacts | None = None,
    ) -> TransactionFacts | None: ...
    def describe(self) -> Description | None: ...
    def store_undo_facts(self, facts: str) -> None: ...
    def amend(self, amendment: Amendment) -> None: ...
    def create_stub(self, sql: str) -> CreatedStub: ...
    def drop_stub(self, made: CreatedStub) -> bool: ...
    def recover(self) -> bool: ...
    def finish(self, outcome: dict[str, str | None]) -> None: ...


@dataclass(frozen=True, slots=True)
class RunDependencies:
    """What one run works with. ``folder`` is that of the migrations; ``jitter`` gives 0 to 1.

    ``policy`` is what the settings say; `engine.before_lock` adds what the server and the request say.
    ``address`` is where the reader of a message sends a further command. ``find_table_name`` returns
    what a tool's settings call its history table. ``require_folder`` raises where there is none to list.
    ``read_catalog`` is called with a listing, and how many of its first migrations are known.
    """

    database: Database
    require_folder: Callable[[], None]
    list_folder: Callable[[], Listing]
    read_catalog: Callable[[Listing, int], Catalog]
    policy: Policy
    clock: Clock
    deadline: Deadline
    events: EventLog
    run_id: str
    substitute: Substitute
    backup: Backup
    folder: Path
    find_table_name: Callable[[str], TableName | None]
    address: Address
    jitter: Callable[[], float] = random.random
