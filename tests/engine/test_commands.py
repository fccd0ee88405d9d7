"""The decisions of each command, from facts alone: a command reads only what it asks for."""

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
from lockgate.engine.commands.up import ApplyPending, UndoNewer, UndoOwn
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
    """Every action has a command and declared needs."""
    assert set(Action) == set(COMMANDS) == set(NEEDS)


# Up.


def test_up_with_nothing_pending_only_frees_a_dead_lock() -> None:
    """With nothing pending, up only releases a dead run's lock."""
    decided = decide(Action.UP, make_facts("1", "2"))
    assert (FreeDeadLock(ApplyPending()), [Need.OPERATIONS]) == (decided.decision, decided.asked)


def test_up_with_something_pending_works_under_the_lock() -> None:
    """With pending migrations, up works under the lock and keeps the plan it made before."""
    decision = decide(Action.UP, make_facts()).decision
    assert isinstance(decision, WorkUnderLock)
    assert isinstance(decision.stage, ApplyPending)
    assert decision.stage.earlier is not None
    assert decision.stage.earlier.plan.has_pending


def test_up_settled_by_the_first_look_reads_nothing() -> None:
    """If the first look settled the request, up reads neither files nor history."""
    decided = decide(Action.UP, make_facts(is_settled=True))
    assert (FreeDeadLock(ApplyPending()), []) == (decided.decision, decided.asked)


@pytest.mark.parametrize("rollback", [Rollback.RUN, Rollback.DEPLOY])
def test_up_undoes_newer_versions_if_the_setting_allows_it(rollback: Rollback) -> None:
    """If the settings allow it, up on a newer database undoes the newer versions under the lock."""
    facts = make_facts("1", "2", "9", probe=HISTORY_EXISTS)
    answers = {Need.EVIDENCE: RecordedRuns(has_run=True, actions={"r": "up"})}
    policy = replace(POLICY, rollback=rollback)
    decision = decide(Action.UP, facts, policy, answers=answers).decision
    kinds = {Rollback.RUN: FreeDeadLock, Rollback.DEPLOY: WorkUnderLock}
    assert kinds[rollback] is type(decision)


def test_up_reports_why_newer_versions_are_not_undone() -> None:
    """A warning explains why newer versions are not undone when this package never ran here."""
    facts = make_facts("1", "2", "9", probe=HISTORY_EXISTS)
    answers = {Need.EVIDENCE: RecordedRuns(has_run=False, actions={"r": "up"})}
    decided = decide(Action.UP, facts, DEPLOY, answers=answers)
    (warning,) = [event for event in decided.events if isinstance(event, events.Warned)]
    expected = "The database is ahead of this package, and the newer migrations are not undone:"
    assert warning.text.startswith(expected)


def test_up_on_a_database_with_foreign_tables_is_refused() -> None:
    """With first-run refuse, up on a database with foreign tables is refused."""
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
    """Drift is refused before the first run is checked, and the plan is still reported."""
    facts = make_facts(rows=(make_row("1", checksum="other"),))
    decided = decide(Action.UP, facts)
    assert (DriftDetected, []) == (type(decided.error), decided.asked)
    assert [events.Planned] == [type(event) for event in decided.events]


# Read-only commands.


@pytest.mark.parametrize("action", [Action.PLAN, Action.VALIDATE])
@pytest.mark.parametrize(("applied", "status"), [((), "planned"), (("1", "2"), "up_to_date")])
def test_first_look_ends_with_what_is_pending(
    action: Action, applied: tuple[str, ...], status: str
) -> None:
    """Plan and validate report the pending migrations without taking the lock."""
    assert Conclude(Status(status)) == decide(action, make_facts(*applied)).decision


def test_status_names_the_holder_and_the_actions_in_the_history() -> None:
    """Status reports the lock's holder and the actions of past runs, and refuses nothing."""
    facts = make_facts("1", probe=HISTORY_EXISTS)
    holder = make_holder()
    decided = decide(Action.STATUS, facts, answers={Need.HOLDER: holder, Need.ACTIONS: {"r": "up"}})
    assert events.HolderSeen(holder) in decided.events
    assert events.ActionsRead({"r": "up"}) in decided.events
    assert Conclude(Status.PLANNED) == decided.decision


def test_history_reads_runs_only_if_there_can_be_any() -> None:
    """History reads runs only if Lockgate's tables exist."""
    assert [] == decide(Action.HISTORY, make_facts()).asked
    facts = make_facts(probe=HISTORY_EXISTS)
    decided = decide(Action.HISTORY, facts, answers={Need.RUNS: ()})
    assert ([Need.RUNS], Conclude(Status.UP_TO_DATE)) == (decided.asked, decided.decision)


def test_unlock_breaks_the_lock_if_there_can_be_one() -> None:
    """Unlock breaks the lock only if Lockgate's tables exist."""
    assert Conclude(Status.UP_TO_DATE) == decide(Action.UNLOCK, make_facts()).decision
    assert BreakLock() == decide(Action.UNLOCK, make_facts(probe=HISTORY_EXISTS)).decision


# Down.


def test_down_with_nothing_to_undo_only_frees_a_dead_lock() -> None:
    """With nothing to undo, down only releases a dead run's lock and reports it."""
    decided = decide(Action.DOWN, make_facts(), steps=1)
    assert (FreeDeadLock(UndoSelected()), [events.NothingToUndo()]) == (
        decided.decision,
        decided.events,
    )


def test_down_selects_again_under_the_lock_and_keeps_its_choice() -> None:
    """Down selects migrations under the lock and keeps that selection when it retries."""
    assert (
        WorkUnderLock(UndoSelected()) == decide(Action.DOWN, make_facts("1", "2"), steps=1).decision
    )
    facts = make_facts("1", "2")
    first = plan_stage(UndoSelected(), facts, Action.DOWN, steps=1)
    assert UndoSelected(("2",)) == first.work.stage
    second = plan_stage(first.work.stage, make_facts("1"), Action.DOWN, steps=1)
    assert () == second.work.segments


# Commands that change only the history.


def test_repair_is_only_shown_if_asked_for() -> None:
    """With dry_run, repair is only shown; otherwise it takes the lock."""
    given: dict[str, Any] = {"repair": Repair.FORGET, "version": "1"}
    shown = decide(Action.REPAIR, make_facts("1", "2"), dry_run=True, **given)
    assert Conclude(Status.PLANNED) == shown.decision
    written = decide(Action.REPAIR, make_facts("1", "2"), **given)
    assert isinstance(written.decision, WorkUnderLock)
    assert [events.AmendmentPlanned] == [type(event) for event in written.events]


def test_repair_that_does_not_fit_is_refused() -> None:
    """Repair is refused if the history has no such row."""
    decided = decide(Action.REPAIR, make_facts(), repair=Repair.FORGET, version="1")
    assert isinstance(decided.error, AmendmentRefused)


def test_amendment_whose_answer_was_lost_is_not_decided_again() -> None:
    """An amendment whose answer was lost is not decided again: it is already written."""
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


def test_plan_made_before_the_lock_is_used_if_the_history_is_the_same() -> None:
    """The plan made before the lock is reused if the history is unchanged, and made anew otherwise."""
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
    """A failed migration undoes the run unless nothing was applied, settings forbid it or time is up."""
    error = MigrationStepFailed(Failure("2 b", "no"), is_down=False)
    failure = make_failure(error, done=done, rollback=rollback, is_over=is_over)
    followed = follow(ApplyPending(), failure)
    assert (UndoOwn(error) if is_undone else error) == followed


def test_failed_undo_is_reported_with_the_first_error() -> None:
    """If the undo fails, the first error is reported with the undo's reason and hint."""
    error = MigrationStepFailed(Failure("2 b", "no"), is_down=False)
    refused = UndoRefused("No way back.", hint="Write one.")
    followed = follow(UndoOwn(error), make_failure(refused))
    assert isinstance(followed, MigrationStepFailed)
    assert followed.failure is error.failure
    assert followed.message.endswith("What this run had applied was not undone: No way back.")
    assert "Fix the file and invoke again. Write one." == followed.hint


@pytest.mark.parametrize("reverted", [[], ["9"]])
def test_refused_undo_of_newer_versions_continues_with_pending_ones(reverted: list[str]) -> None:
    """If the undo of newer versions is refused, the run continues with the pending migrations."""
    failure = make_failure(UndoRefused("No way back."), reverted=reverted)
    assert ApplyPending(None, has_undone_newer=bool(reverted)) == follow(UndoNewer(), failure)


def test_rollback_whose_undo_failed_applies_nothing() -> None:
    """If undoing a newer version fails, the run applies nothing."""
    error = MigrationStepFailed(Failure("9 z", "no"), is_down=True)
    assert Status.UP_TO_DATE == follow(UndoNewer(), make_failure(error))


def test_finished_undo_of_newer_versions_ignores_drift() -> None:
    """After the undo of newer versions, drift does not fail the run."""
    drift = DriftDetected("Migration 1 was edited.")
    assert Status.ROLLED_BACK == follow(UndoNewer(), make_failure(drift, reverted=["9"]))
    assert drift is follow(UndoNewer(), make_failure(drift))


def test_deadline_ends_the_undo_of_newer_versions() -> None:
    """Running out of time during the undo of newer versions ends the run."""
    error = RunIncomplete("Over.")
    assert error is follow(UndoNewer(), make_failure(error))


@pytest.mark.parametrize(
    ("stage", "done", "status"),
    [
        (ApplyPending(), ["1"], Status.APPLIED),
        (ApplyPending(), [], Status.UP_TO_DATE),
        (ApplyPending(has_undone_newer=True), [], Status.ROLLED_BACK),
        (UndoSelected(), [], Status.UP_TO_DATE),
    ],
)
def test_finished_stage_ends_with(stage: Stage, done: list[str], status: Status) -> None:
    """The final status reflects what the run did."""
    assert status is stage.after_success(make_state(done=done))


def follow(stage: Stage, failure: Any) -> object:
    """Return what follows a failed stage: another stage, a status or an error."""
    deciding = stage.after_failure(failure)
    try:
        while True:
            next(deciding)
    except StopIteration as end:
        found: object = end.value
        return found
    except Exception as error:  # noqa: BLE001 - the error is the result
        return error
