"""A server in memory that implements the engine's protocols: `Database`, `Records` and `HeldLock`.

It commits a whole segment or nothing, keeps a history with tokens, and loses connections, fails or
refuses where a test asks for it. `tests/engine/test_fake_server.py` compares it with a real one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lockgate.core.endpoint import Endpoint
from lockgate.core.failure import ConnectionLost, Failure, StepFailed
from lockgate.core.history import Applied, History, State, StoredScripts
from lockgate.core.lease import Holder
from lockgate.core.migration import Direction
from lockgate.core.outcome import FinishedMigration, TakenLock
from lockgate.core.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lockgate.core.amendment import Amendment
    from lockgate.core.lease import Terms
    from lockgate.core.segment import Segment, Step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOST = ConnectionLost("the server closed the connection", "57P01")


def fail_with(sqlstate: str, migration: str = "1 a") -> StepFailed:
    """Return the failure of a step."""
    return StepFailed(Failure(migration=migration, message="no", sqlstate=sqlstate))


def make_holder(run_id: str = "other", *, is_alive: bool = True) -> Holder:
    """Return another run that holds the lock."""
    return Holder(run_id, "test", 7, 1, None, NOW, NOW, 60.0, is_alive, is_known=True)


@dataclass
class FakeServer:
    """One database. ``before`` and ``after`` list the errors of calls by name, one for each call.

    Errors in ``before`` are raised instead of the call's effect, those in ``after`` once it took effect.
    """

    rows: dict[str, Applied] = field(default_factory=dict)
    scripts: dict[str, StoredScripts] = field(default_factory=dict)
    outcomes: list[dict[str, str | None]] = field(default_factory=list)
    holder: Holder | None = None
    token: int = 0
    installed: bool = False
    calls: list[str] = field(default_factory=list)
    before: dict[str, list[Exception | None]] = field(default_factory=dict)
    after: dict[str, list[Exception | None]] = field(default_factory=dict)
    is_read_only: bool = False
    endpoint: Endpoint | None = field(default_factory=lambda: Endpoint("db", 5432, "shop"))
    is_borrowed: bool = False
    schema: str = "lockgate"

    @property
    def is_held(self) -> bool:
        """Whether a run holds the lock."""
        return self.holder is not None

    # Calls that need no lock.

    @property
    def records(self) -> FakeServer:
        """Return itself: one class implements both protocols."""
        return self

    def probe(self, meanwhile: Callable[[], object] | None = None) -> Probe:
        """Return a probe whose digest matches no folder."""
        if meanwhile is not None:
            meanwhile()
        with _Call(self, "probe"):
            return Probe(
                database="shop",
                user="app",
                role="app",
                server_version="18.0",
                version_number=180000,
                is_read_only=self.is_read_only,
                lock_slots=6400,
                has_schema=self.installed,
                is_fresh=not self.rows,
                behind_pooler=False,
                digest="?" if self.installed else None,
                is_held=self.holder is not None,
            )

    def install(self, probe: Probe) -> None:
        """Create the tables."""
        with _Call(self, "install"):
            self.installed = True

    def cache_history(self, history: History) -> None:
        """Do nothing: the fake has no cache."""

    def read_history(self) -> History:
        """Return the rows."""
        with _Call(self, "read_history"):
            return History(tuple(self.rows.values()))

    def read_runs(self, limit: int) -> tuple[Any, ...]:
        """Return no runs."""
        with _Call(self, "read_runs"):
            return ()

    def read_holder(self) -> Holder | None:
        """Return the lock's holder."""
        with _Call(self, "read_holder"):
            return self.holder

    def take_lock(self, terms: Terms) -> FakeLock | None:
        """Take the lock if it is free or its holder is dead."""
        with _Call(self, "take_lock"):
            if self.holder is not None and self.holder.is_alive:
                return None
            former = None if self.holder is None else self.holder.run_id
            self.holder = make_holder(terms.run_id)
            self.token += 1
            return FakeLock(self, terms.run_id, TakenLock(self.token, former))

    def force_unlock(self, terms: Terms) -> tuple[Holder, bool] | None:
        """Free the lock."""
        with _Call(self, "force_unlock"):
            holder, self.holder = self.holder, None
            return None if holder is None else (holder, True)

    def read_undo_facts(self, run_ids: Sequence[str]) -> list[str | None]:
        """Return no facts."""
        with _Call(self, "read_undo_facts"):
            return [None for _ in run_ids]

    def read_scripts(self, migration_ids: Sequence[str]) -> dict[str, StoredScripts]:
        """Return the scripts of these migrations."""
        with _Call(self, "read_scripts"):
            return {one: self.scripts[one] for one in migration_ids if one in self.scripts}

    def check_steps(self, steps: Sequence[Step]) -> None:
        """Accept all steps."""

    def has_changed_anything(self) -> bool:
        """Return whether there is a row."""
        with _Call(self, "has_changed_anything"):
            return bool(self.rows)

    def has_recorded(self, digest: str, token: int) -> bool:
        """Return that no run has recorded this catalog."""
        with _Call(self, "has_recorded"):
            return False

    def read_actions(self) -> dict[str, str]:
        """Return that every row was written by up."""
        with _Call(self, "read_actions"):
            return {row.run_id: "up" for row in self.rows.values()}

    def list_tables(self) -> tuple[Any, ...]:
        """Return no tables."""
        with _Call(self, "list_tables"):
            return ()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return no rows."""
        with _Call(self, "ask"):
            return []

    def close(self) -> None:
        """Record the call."""
        self.calls.append("close")


@dataclass
class FakeLock:
    """The lock of a `FakeServer`."""

    server: FakeServer
    run_id: str
    taken: TakenLock
    was_cancelled: bool = False
    notes: tuple[str, ...] = ()

    def apply(
        self, segment: Segment, on_applied: Callable[[FinishedMigration], None], **_: Any
    ) -> None:
        """Commit a segment."""
        with _Call(self.server, "apply"):
            done = [self._commit(step) for step in segment.steps]
        for one in done:
            on_applied(one)

    def _commit(self, step: Step) -> FinishedMigration:
        migration_id, server = step.migration.migration_id, self.server
        if step.direction is Direction.DOWN:
            del server.rows[migration_id]
        else:
            server.rows[migration_id] = self._row(step)
            server.scripts[migration_id] = _stored(step)
        return FinishedMigration(migration_id, 1, NOW, step.direction)

    def _row(self, step: Step) -> Applied:
        migration = step.migration
        return Applied(
            migration_id=migration.migration_id,
            version=migration.version,
            name=migration.name,
            kind=migration.kind,
            checksum=migration.up.checksum,
            token_checksum=None,
            has_down=migration.down is not None,
            state=State.APPLIED,
            statements_done=1,
            statements_total=1,
            applied_at=NOW,
            duration_ms=1,
            run_id=self.run_id,
            token=self.taken.token,
            down_checksum=None if migration.down is None else migration.down.checksum,
        )

    def describe(self) -> None:
        """Return no description, so that no automatic undo can be proved."""

    def store_undo_facts(self, facts: str) -> None:
        """Store nothing."""

    def amend(self, amendment: Amendment) -> None:
        """Delete the forgotten rows."""
        with _Call(self.server, "amend"):
            for row in amendment.forgotten:
                del self.server.rows[row.migration_id]

    def create_stub(self, sql: str) -> Any:
        """Refuse to create a stub."""
        raise NotImplementedError

    def drop_stub(self, made: Any) -> bool:
        """Refuse to drop a stub."""
        raise NotImplementedError

    def recover(self) -> bool:
        """Recover the lock; return False if the end of the run is recorded."""
        with _Call(self.server, "recover"):
            self.server.token += 1
            return self.server.holder is not None

    def finish(self, outcome: dict[str, str | None]) -> None:
        """Record the end and free the lock."""
        with _Call(self.server, "finish"):
            self.server.outcomes.append(outcome)
            self.server.holder = None


def _stored(step: Step) -> StoredScripts:
    migration = step.migration
    down = None if migration.down is None else migration.down.text
    return StoredScripts(
        migration.migration_id, migration.up.language, down, migration.up.options, False, None
    )


class _Call:
    """One call: counts itself and raises the errors that a test planned for it."""

    def __init__(self, server: FakeServer, name: str) -> None:
        self.server, self.name = server, name

    def __enter__(self) -> None:
        self.server.calls.append(self.name)
        _raise_next(self.server.before, self.name)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            _raise_next(self.server.after, self.name)


def _raise_next(planned: dict[str, list[Exception | None]], name: str) -> None:
    waiting = planned.get(name)
    error = waiting.pop(0) if waiting else None
    if error is not None:
        raise error
