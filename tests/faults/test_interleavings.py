"""Two runs and their faults in any order that Hypothesis generates, against a real server.

Each run is paused before every message, so an interleaving is a choice of which run continues.
Between two messages a session may end, a connection break, a lease expire, a deadline expire, an
operator unlock, or a new migration appear.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.claim import CLAIMING_NOTHING
from tests.support.database import temporary_database
from tests.support.disturbed import FAULT_STRIDE
from tests.support.project import Project
from tests.support.reach import Tally
from tests.support.stepped import SteppedRun

from lockgate.core.request import Action, Caller, Request
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.local.server import EmbeddedServer
    from lockgate.report.report import Report

RUNS = st.sampled_from([0, 1])
# As many as time allows; fewer if the other tests also use only every few messages.
EXAMPLES = min(40, max(6, 80 // FAULT_STRIDE))
# `by` records which run's session wrote a row.
FIRST = (
    "CREATE TABLE effect (id int NOT NULL, by text DEFAULT current_setting('application_name'));\n"
    "INSERT INTO effect VALUES (1);"
)
KINDS = {
    "sql": "INSERT INTO effect VALUES ({n});",
    "own": "BEGIN;\nINSERT INTO effect VALUES ({n});\nCOMMIT;",
    "index": "CREATE INDEX CONCURRENTLY effect_{n} ON effect (id);",
    "steps": (
        "-- migrate:up transaction:false\nINSERT INTO effect VALUES ({n});\n"
        "CREATE INDEX CONCURRENTLY effect_{n} ON effect (id);\n"
        "INSERT INTO effect VALUES ({n} + 1000);"
    ),
}


class Interleaving(RuleBasedStateMachine):
    """Two runs of one project. The test sets the server and a tally of the interleavings."""

    server: ClassVar[EmbeddedServer]
    tally: ClassVar[Tally]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.project = Project(folder, self.stack.enter_context(temporary_database(self.server)))
        self.runs: dict[int, SteppedRun] = {}
        self.all_runs: list[SteppedRun] = []
        self.last = 1
        self.token = 0
        self.kinds: dict[int, str] = {}

    @initialize(
        kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3),
        begun=st.sampled_from([(0, 1), (1, 0), (0, 1), (0,)]),
        count=st.integers(1, 8),
    )
    def set_up(self, kinds: list[str], begun: tuple[int, ...], count: int) -> None:
        """Write a first migration and a few more; start one run or both."""
        self.tally.begin()
        self.project.write({"0001_first.sql": FIRST})
        for kind in kinds:
            self._write(kind)
        for which in begun:
            self.begin(which)
            self.step(which, count)

    def _write(self, kind: str) -> None:
        self.last += 1
        self.kinds[self.last] = kind
        self.project.write({f"{self.last:04}_{kind}.sql": KINDS[kind].format(n=self.last)})

    @rule(which=RUNS)
    def begin(self, which: int) -> None:
        """Start a run if it is not already running."""
        run = self.runs.get(which)
        if run is None or run.is_over:
            self.runs[which] = self.stack.enter_context(SteppedRun(self.project))
            self.all_runs.append(self.runs[which])
        if all(self._is_under_way(one) for one in (0, 1)):
            self.tally.reach("two_at_once")

    @rule(which=RUNS, count=st.integers(1, 8))
    def step(self, which: int, count: int) -> None:
        """Let a run send some messages."""
        run = self.runs.get(which)
        if run is not None and not run.is_over:
            run.step(count)

    @rule(which=RUNS)
    def end_session(self, which: int) -> None:
        """End a run's session on the server."""
        run = self.runs.get(which)
        if run is not None and run.link is not None and run.link.pid is not None:
            self._note_fault(which)
            self.project.database.run("SELECT pg_terminate_backend(:pid, 2000)", pid=run.link.pid)

    @rule(which=RUNS)
    def break_connection(self, which: int) -> None:
        """Reset a run's connection."""
        run = self.runs.get(which)
        if run is not None and run.link is not None:
            self._note_fault(which)
            run.link.reset()

    @rule(which=RUNS)
    def come_to_the_deadline(self, which: int) -> None:
        """Let a run's deadline expire."""
        run = self.runs.get(which)
        if run is not None:
            self._note_fault(which)
            run.deadline.interrupt("the test")

    @precondition(lambda self: bool(self.runs))
    @rule()
    def let_the_lease_pass(self) -> None:
        """Let the lock's lease expire while its holder is alive."""
        if self._has_tables():
            self.project.database.run(
                "UPDATE lockgate.migration_lock SET expires_at = now() WHERE owner IS NOT NULL"
            )

    @precondition(lambda self: bool(self.runs))
    @rule()
    def unlock(self) -> None:
        """Let an operator break the lock."""
        request = Request(Action.UNLOCK, Caller("operator"), reason="test")
        assert self.project.runner().run(request).is_success

    @precondition(lambda self: self.last < 8)
    @rule(kind=st.sampled_from(sorted(KINDS)))
    def add_migration(self, kind: str) -> None:
        """Add one more migration."""
        self._write(kind)

    @invariant()
    def nothing_is_done_twice(self) -> None:
        """No migration has taken effect more than once."""
        if self._has_tables("effect"):
            twice = self.project.database.run(
                "SELECT id FROM effect GROUP BY id HAVING count(*) > 1"
            )
            assert [] == twice

    @invariant()
    def history_and_effects_agree(self) -> None:
        """Effects that share a transaction with their history row exist exactly when the row exists."""
        if not self._has_tables("effect"):
            return
        rows = self.project.database.run(
            "SELECT h.version::int FROM lockgate.migration_history AS h"
            " FULL JOIN effect AS e ON e.id = h.version::int"
            " WHERE (h.version IS NULL AND e.id < 1000)"
            " OR (e.id IS NULL AND h.name IN ('first', 'sql', 'own'))"
        )
        assert [] == rows

    @invariant()
    def token_only_grows(self) -> None:
        """The fencing token never decreases."""
        if self._has_tables():
            token = self.project.database.run("SELECT token FROM lockgate.migration_lock")[0][0]
            assert token >= self.token
            self.token = token

    def teardown(self) -> None:
        """Let all runs end, finish the work, and check that it is complete."""
        try:
            # Let all go first and then join each: one may wait for the lock that another one holds.
            for run in self.runs.values():
                run.let_go()
            for run in self.runs.values():
                run.join()
            for run in self.all_runs:
                self._assert_claim_is_true(run.join())
            report = self.project.run(LOCKGATE_LOCK_WAIT="60s")
            assert report.is_success, report.error
            assert Status.UP_TO_DATE == self.project.run().status
            assert self.project.lock_owner() is None
            self._assert_whole()
            self.tally.end()
        finally:
            self.stack.close()

    def _is_under_way(self, which: int) -> bool:
        run = self.runs.get(which)
        return run is not None and not run.is_over

    def _note_fault(self, which: int) -> None:
        if self._is_under_way(which):
            self.tally.reach("fault")

    def _assert_claim_is_true(self, report: Report) -> None:
        """Compare the claim of a failed run with the rows that its own sessions wrote."""
        if report.error is None or report.error.state_after in CLAIMING_NOTHING:
            return
        listed = {int(entry.version or 0) for entry in report.applied}
        with_rows = {n for n in listed if self.kinds.get(n) != "index"}
        expected = with_rows | {n + 1000 for n in listed if self.kinds.get(n) == "steps"}
        if report.error.state_after != "kept":
            expected = set()
        written: set[int] = set()
        if self._has_tables("effect"):
            rows = self.project.database.run(
                "SELECT id FROM effect WHERE by LIKE :session", session=f"%{report.run_id}%"
            )
            written = {row[0] for row in rows}
        assert expected == written, report.error

    def _assert_whole(self) -> None:
        expected = {n for n, kind in self.kinds.items() if kind != "index"} | {1}
        expected |= {n + 1000 for n, kind in self.kinds.items() if kind == "steps"}
        rows = self.project.database.run("SELECT id FROM effect")
        assert sorted(expected) == sorted(row[0] for row in rows)
        assert [] == self.project.database.run(
            "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid"
        )
        built = self.project.database.run(
            "SELECT relname FROM pg_class WHERE relname LIKE 'effect%' AND relkind = 'i'"
        )
        wanted = {f"effect_{n}" for n, kind in self.kinds.items() if kind in {"index", "steps"}}
        assert wanted == {row[0] for row in built}

    def _has_tables(self, table: str = "lockgate.migration_lock") -> bool:
        rows = self.project.database.run("SELECT to_regclass(:name) IS NOT NULL", name=table)
        return bool(rows[0][0])


def test_interleaved_runs_and_faults_keep_every_promise(
    server: EmbeddedServer, record_property: Callable[[str, object], None]
) -> None:
    """In any order of two runs and faults, nothing is lost, repeated or left half done."""
    tally = Tally({"two_at_once": 10, "fault": 10})
    run_state_machine_as_test(
        type("InterleavingOnServer", (Interleaving,), {"server": server, "tally": tally}),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=20,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    record_property("interleavings", tally.examples)
    tally.check()
