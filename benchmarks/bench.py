"""Measures the peers: prepares databases, runs the peers in turn, keeps the samples.

Every timed run starts after a checkpoint, with its own database. Peers take turns within a round,
so that a disturbance of the machine affects all of them.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pg8000.native

from benchmarks.measure import ProgramFailed, Sample, measure, open_way
from benchmarks.peer import Peer, Target, Task
from benchmarks.workload import make_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.row import Row
    from lockgate.local.server import EmbeddedServer

# A server with default settings, except that checkpoints happen between runs and not during them.
SERVER_SETTINGS = {"max_wal_size": "8GB", "checkpoint_timeout": "1h"}
_OUT_OF_LOCKS = re.compile("out of shared memory|max_locks_per_transaction", re.IGNORECASE)


@dataclass(slots=True)
class Outcome:
    """A peer's samples in a row. ``failed`` is the reason if there are none."""

    samples: list[Sample] = field(default_factory=list)
    turns: int | None = None
    failed: str | None = None


Results = dict[str, dict[str, Outcome]]


@dataclass(frozen=True, slots=True)
class Runner:
    """An installed peer: its program and its folders."""

    peer: Peer
    program: Path
    home: Path


@dataclass(slots=True)
class _Ready:
    """A database with its folder, and ``count`` applied migrations."""

    database: str
    folder: Path
    count: int


@dataclass(slots=True)
class Bench:
    """Measures runners on one server. ``say`` prints the progress."""

    server: EmbeddedServer
    environment: Mapping[str, str]
    home: Path
    say: Callable[[str], None]
    _ready: dict[tuple[str, int], _Ready] = field(default_factory=dict)
    _made: int = 0

    def run_row(self, row: Row, runners: Sequence[Runner], rounds: int) -> dict[str, Outcome]:
        """Run a row's work with every runner, in turn, for the given number of rounds."""
        outcomes: dict[str, Outcome] = defaultdict(Outcome)
        for number in range(1, rounds + 1):
            self.say(f"{row.name}: round {number} of {rounds}")
            for runner in random.sample(runners, len(runners)):
                outcome = outcomes[runner.peer.name]
                if outcome.failed is None:
                    self._run_once(row, runner, outcome)
        return {runner.peer.name: outcomes[runner.peer.name] for runner in runners}

    def _run_once(self, row: Row, runner: Runner, outcome: Outcome) -> None:
        try:
            if row.applied:
                ready = self._prepare(runner, row.applied)
            else:
                ready = self._make_fresh(runner, f"fresh-{row.name}")
            self._time(row, runner, ready, outcome)
        except ProgramFailed as error:
            is_full = _OUT_OF_LOCKS.search(str(error)) is not None
            outcome.failed = "out of locks" if is_full else "failed"
            self.say(f"{row.name}: {runner.peer.name} failed: {error}")
            return
        self._keep_or_drop(row, runner, ready)

    def _time(self, row: Row, runner: Runner, ready: _Ready, outcome: Outcome) -> None:
        pending = ready.count + row.pending
        runner.peer.write(ready.folder, row.make_changes(pending), ready.count)
        self._admin("CHECKPOINT")
        with open_way(self.server.host, self.server.port, row.delay_ms) as way:
            sample = self._run(runner, ready, row.task, way.port)
        outcome.samples.append(sample)
        outcome.turns = way.turns
        if row.task is Task.UP:
            ready.count = pending

    def _run(self, runner: Runner, ready: _Ready, task: Task, port: int) -> Sample:
        target = self._target(ready.database, port)
        command = runner.peer.command(task, runner.program, ready.folder, target)
        assert command is not None
        environment = {**self.environment, **target.environment, **command.environment}
        return measure(command.argv, environment, ready.folder, self.home / "output")

    def _keep_or_drop(self, row: Row, runner: Runner, ready: _Ready) -> None:
        if row.applied:
            return
        key = (runner.peer.name, row.pending)
        if row.task is Task.UP and key not in self._ready:
            self._ready[key] = ready
            # The next fresh run gets its own folder.
            kept = ready.folder.with_name(f"ready-{row.pending}")
            ready.folder = ready.folder.rename(kept)
            return
        self._drop(ready.database)

    def _prepare(self, runner: Runner, applied: int) -> _Ready:
        """Return a database with this number of migrations, applied by the runner itself."""
        key = (runner.peer.name, applied)
        if key not in self._ready:
            self.say(f"{runner.peer.name}: applying {applied:,} migrations")
            ready = self._make_fresh(runner, f"ready-{applied}")
            runner.peer.write(ready.folder, make_changes(applied), 0)
            self._run(runner, ready, Task.UP, self.server.port)
            ready.count = applied
            self._ready[key] = ready
        return self._ready[key]

    def _make_fresh(self, runner: Runner, name: str) -> _Ready:
        self._made += 1
        database = f"bench_{self._made}"
        self._admin(f"CREATE DATABASE {database} TEMPLATE template0")
        folder = runner.home / name
        folder.mkdir(parents=True, exist_ok=True)
        return _Ready(database, folder, 0)

    def _drop(self, database: str) -> None:
        self._admin(f"DROP DATABASE {database} WITH (FORCE)")

    def close(self) -> None:
        """Drop the databases that were kept for later rows."""
        for ready in self._ready.values():
            self._drop(ready.database)
        self._ready.clear()

    def _target(self, database: str, port: int) -> Target:
        return Target(self.server.host, port, self.server.user, self.server.password, database)

    def _admin(self, sql: str) -> None:
        connection = pg8000.native.Connection(
            self.server.user,
            host=self.server.host,
            port=self.server.port,
            database="postgres",
            password=self.server.password,
            ssl_context=False,
        )
        try:
            connection.run(sql)
        finally:
            connection.close()
