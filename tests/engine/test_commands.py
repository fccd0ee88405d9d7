"""What each command decides, from facts alone: nothing is read but what it asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.deciding import (
    POLICY,
    PROBE,
    decide,
    make_facts,
    make_failure,
    make_row,
    make_state,
    plan_stage,
)
from tests.support.fake_server import make_holder

from lockgate.core import events
from lockgate.core.failure import Failure, MigrationStepFailed
from lockgate.core.first_contact import Contact, Table
from lockgate.core.older_package import RecordedRuns
from lockgate.core.policy import FirstRun, Rollback
from lockgate.core.request import Action, Repair
from lockgate.engine.commands import COMMANDS
from lockgate.engine.commands.amending import WriteAmendment
from lockgate.engine.commands.down import UndoSelected
from lockgate.engine.commands.up import ApplyPending, BringBack, UndoOwn
from lockgate.engine.decision import BreakLock, Conclude, FreeDeadLock, WorkUnderLock
from lockgate.engine.needs import NEEDS, Need
from lockgate.errors import (
    AmendmentRefused,
    DriftDetected,
    FirstContact,
    RunIncomplete,
    UndoRefused,
)
from lockgate.report.report import Status

if TYPE_CHECKING:
    from lockgate.engine.decision import Stage

DEPLOY = replace(POLICY, rollback=Rollback.DEPLOY)
HISTORY_EXISTS = replace(PROBE, digest="?", is_fresh=False)


def test_every_action_has_a_command_and_its_needs() -> None:
    """The two tables name the same actions, all of them."""
    assert set(Action) == set(COMMANDS) == set(NEEDS)


# Up.


def test_up_with_nothing_pending_only_frees_a_dead_lock() -> None:
    """Nothing is asked."""
    decided = decide(Action.UP, make_facts("1", "2"))
    assert (FreeDeadLock(ApplyPending()), [Need.OPERATIONS]) == (decided.decision, decided.asked)


def test_up_with_something_pending_works_under_the_lock() -> None:
    """The plan is kept, for as long as the history stays the same."""
    decision = decide(Action.UP, make_facts()).decision
    assert isinstance(decision, WorkUnderLock)
    assert isinstance(decision.stage, ApplyPending)
    assert decision.stage.earlier is not None
    assert decision.stage.earlier.plan.has_pending


def test_up_that_was_settled_by_the_first_look_asks_nothing() -> None:
    """Neither files nor history were read."""
    decided = decide(Action.UP, make_facts(is_settled=True))
    assert (FreeDeadLock(ApplyPending()), []) == (decided.decision, decided.asked)


@pytest.mark.parametrize("rollback", [Rollback.RUN, Rollback.DEPLOY])
def test_up_behind_newer_versions_brings_back_if_settings_say_so(rollback: Rollback) -> None:
    """The run table is asked whether this package is an older one."""
    facts = make_facts("1", "2", "9", probe=HISTORY_EXISTS)
    answers = {Need.EVIDENCE: RecordedRuns(has_run=True, actions={"r": "up"})}
    policy = replace(POLICY, rollback=rollback)
    decision = decide(Action.UP, facts, policy, answers=answers).decision
    kinds = {Rollback.RUN: FreeDeadLock, Rollback.DEPLOY: WorkUnderLock}
    assert kinds[rollback] is type(decision)


def test_up_says_why_newer_versions_are_not_brought_back() -> None:
    """It may be another branch's package."""
    facts = make_facts("1", "2", "9", probe=HISTORY_EXISTS)
    answers = {Need.EVIDENCE: RecordedRuns(has_run=False, actions={"r": "up"})}
    decided = decide(Action.UP, facts, DEPLOY, answers=answers)
    (warning,) = [event for event in decided.events if isinstance(event, events.Warned)]
    assert warning.text.startswith("The database is ahead of this package and is not brought back:")


def test_up_on_a_database_with_foreign_tables_is_refused() -> None:
    """Tables, an earlier change and the rest are asked for one after the other."""
    facts = make_facts(probe=HISTORY_EXISTS)
    table = Table(1, "public", "customer", "public.customer", is_member=False, project=None)
    answers: dict[Need, Any] = {
        Need.TABLES: (table,),
        Need.CHANGED: False,
        Need.CONTACT: Contact(tables=("public.customer",)),
    }
    policy = replace(POLICY, first_run=FirstRun.REFUSE)
    decided = decide(Action.UP, facts, policy, answers=answers)
    assert isinstance(decided.error, FirstContact)
    assert [Need.TABLES, Need.CHANGED, Need.CONTACT] == decided.asked
    assert [events.Planned] == [type(event) for event in decided.events]


def test_up_refuses_drift_before_it_asks_about_a_first_run() -> None:
    """The plan is in the report all the same."""
    facts = make_facts(rows=(make_row("1", checksum="other"),))
    decided = decide(Action.UP, facts)
    assert (DriftDetected, []) == (type(decided.error), decided.asked)
    assert [events.Planned] == [type(event) for event in decided.events]


# What only looks.


@pytest.mark.parametrize("action", [Action.PLAN, Action.VALIDATE])
@pytest.mark.parametrize(("applied", "status"), [((), "planned"), (("1", "2"), "up_to_date")])
def test_look_concludes_with_what_is_pending(
    action: Action, applied: tuple[str, ...], status: str
) -> None:
    """No lock is taken."""
    assert Conclude(Status(status)) == decide(action, make_facts(*applied)).decision


def test_status_names_the_holder_and_who_wrote_the_history() -> None:
    """Both are read, and refuse nothing."""
    facts = make_facts("1", probe=HISTORY_EXISTS)
    holder = make_holder()
    decided = decide(Action.STATUS, facts, answers={Need.HOLDER: holder, Need.ACTIONS: {"r": "up"}})
    assert events.HolderSeen(holder) in decided.events
    assert events.ActionsRead({"r": "up"}) in decided.events
    assert Conclude(Status.PLANNED) == decided.decision


def test_history_reads_runs_only_if_there_can_be_any() -> None:
    """Twenty, unless the request says how many."""
    assert [] == decide(Action.HISTORY, make_facts()).asked
    facts = make_facts(probe=HISTORY_EXISTS)
    decided = decide(Action.HISTORY, facts, answers={Need.RUNS: ()})
    assert ([Need.RUNS], Conclude(Status.UP_TO_DATE)) == (decided.asked, decided.decision)


def test_unlock_breaks_the_lock_if_there_can_be_one() -> None:
    """It asks for nothing."""
    assert Conclude(Status.UP_TO_DATE) == decide(Action.UNLOCK, make_facts()).decision
    assert BreakLock() == decide(Action.UNLOCK, make_facts(probe=HISTORY_EXISTS)).decision


# Down.


def test_down_with_nothing_to_undo_only_frees_a_dead_lock() -> None:
    """The report says where the database stands."""
    decided = decide(Action.DOWN, make_facts(), steps=1)
    assert (FreeDeadLock(UndoSelected()), [events.NothingToUndo()]) == (
        decided.decision,
        decided.events,
    )


def test_down_selects_again_under_the_lock_and_keeps_its_choice() -> None:
    """What a retry has left to undo is no more than what was chosen first."""
    assert (
        WorkUnderLock(UndoSelected()) == decide(Action.DOWN, make_facts("1", "2"), steps=1).decision
    )
    facts = make_facts("1", "2")
    first = plan_stage(UndoSelected(), facts, Action.DOWN, steps=1)
    assert UndoSelected(("2",)) == first.work.stage
    second = plan_stage(first.work.stage, make_facts("1"), Action.DOWN, steps=1)
    assert () == second.work.segments


# What changes the history alone.


def test_repair_is_only_shown_if_asked_for() -> None:
    """What is to be written takes the lock."""
    given: dict[str, Any] = {"repair": Repair.FORGET, "version": "1"}
    shown = decide(Action.REPAIR, make_facts("1", "2"), dry_run=True, **given)
    assert Conclude(Status.PLANNED) == shown.decision
    written = decide(Action.REPAIR, make_facts("1", "2"), **given)
    assert isinstance(written.decision, WorkUnderLock)
    assert [events.AmendmentPlanned] == [type(event) for event in written.events]


def test_repair_that_does_not_fit_is_refused() -> None:
    """No such row is in the history."""
    decided = decide(Action.REPAIR, make_facts(), repair=Repair.FORGET, version="1")
    assert isinstance(decided.error, AmendmentRefused)


def test_amendment_whose_answer_was_lost_is_not_decided_again() -> None:
    """To decide anew would be refused, since it is written."""
    given: dict[str, Any] = {"repair": Repair.FORGET, "version": "2"}
    decision = decide(Action.REPAIR, make_facts("1", "2"), **given).decision
    assert isinstance(decision, WorkUnderLock)
    assert isinstance(decision.stage, WriteAmendment)
    first = plan_stage(decision.stage, make_facts("1", "2"), Action.REPAIR, **given)
    assert first.work.amendment is not None
    facts = replace(make_facts("1"), sent=first.work.amendment)
    second = plan_stage(decision.stage, facts, Action.REPAIR, **given)
    assert (None, first.work.concluding) == (second.work.amendment, second.work.concluding)


# Under the lock.


def test_plan_of_before_the_lock_holds_if_the_history_is_the_same() -> None:
    """Otherwise it is made anew."""
    facts = make_facts()
    decision = decide(Action.UP, facts).decision
    assert isinstance(decision, WorkUnderLock)
    assert isinstance(decision.stage, ApplyPending)
    assert decision.stage.earlier is not None
    same = plan_stage(decision.stage, facts, Action.UP)
    assert decision.stage.earlier.plan.segments is same.work.segments
    other = plan_stage(decision.stage, make_facts("1"), Action.UP)
    assert ["2"] == [s.migration.migration_id for one in other.work.segments for s in one.steps]


@pytest.mark.parametrize(
    ("rollback", "done", "is_over", "is_undone"),
    [
        (Rollback.RUN, ["1"], False, True),
        (Rollback.DEPLOY, ["1"], False, True),
        (Rollback.OFF, ["1"], False, False),
        (Rollback.RUN, [], False, False),
        (Rollback.RUN, ["1"], True, False),
    ],
)
def test_failed_migration_has_the_run_undone(
    rollback: Rollback, done: list[str], *, is_over: bool, is_undone: bool
) -> None:
    """Unless nothing was applied, the settings forbid it, or no time is left."""
    error = MigrationStepFailed(Failure("2 b", "no"), is_down=False)
    failure = make_failure(error, done=done, rollback=rollback, is_over=is_over)
    followed = follow(ApplyPending(), failure)
    assert (UndoOwn(error) if is_undone else error) == followed


def test_undo_that_fails_says_so_and_keeps_the_first_error() -> None:
    """The hint of a refused undo is added."""
    error = MigrationStepFailed(Failure("2 b", "no"), is_down=False)
    refused = UndoRefused("No way back.", hint="Write one.")
    followed = follow(UndoOwn(error), make_failure(refused))
    assert isinstance(followed, MigrationStepFailed)
    assert followed.failure is error.failure
    assert followed.message.endswith("What this run had applied was not undone: No way back.")
    assert "Fix the file and invoke again. Write one." == followed.hint


@pytest.mark.parametrize("reverted", [[], ["9"]])
def test_rollback_that_is_refused_goes_on_with_what_is_pending(reverted: list[str]) -> None:
    """The history is read again before anything is said."""
    failure = make_failure(UndoRefused("No way back."), reverted=reverted)
    assert ApplyPending(None, is_back=bool(reverted)) == follow(BringBack(), failure)


def test_rollback_whose_undo_failed_applies_nothing() -> None:
    """The package is older than the database."""
    error = MigrationStepFailed(Failure("9 z", "no"), is_down=True)
    assert Status.UP_TO_DATE == follow(BringBack(), make_failure(error))


def test_rollback_that_is_done_does_not_fail_on_drift() -> None:
    """A newer package's text was accepted."""
    drift = DriftDetected("Migration 1 was edited.")
    assert Status.ROLLED_BACK == follow(BringBack(), make_failure(drift, reverted=["9"]))
    assert drift is follow(BringBack(), make_failure(drift))


def test_time_that_is_over_ends_a_rollback() -> None:
    """It is no refusal to tolerate."""
    error = RunIncomplete("Over.")
    assert error is follow(BringBack(), make_failure(error))


@pytest.mark.parametrize(
    ("stage", "done", "status"),
    [
        (ApplyPending(), ["1"], Status.APPLIED),
        (ApplyPending(), [], Status.UP_TO_DATE),
        (ApplyPending(is_back=True), [], Status.ROLLED_BACK),
        (UndoSelected(), [], Status.UP_TO_DATE),
    ],
)
def test_stage_that_is_over_ends_with(stage: Stage, done: list[str], status: Status) -> None:
    """The status says what the run has done."""
    assert status is stage.after_success(make_state(done=done))


def follow(stage: Stage, failure: Any) -> object:
    """Return what follows a failed stage: another one, a status, or an error."""
    deciding = stage.after_failure(failure)
    try:
        while True:
            next(deciding)
    except StopIteration as end:
        found: object = end.value
        return found
    except Exception as error:  # noqa: BLE001 - whatever it ends with
        return error
