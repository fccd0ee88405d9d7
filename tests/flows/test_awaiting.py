"""What the callers that wait for an answer have in common: one true answer, whatever happens.

What only one of them has is tested in its own file.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.flows.awaiting import CloudFormation, CodeDeploy, CodePipeline
from tests.support.aws_api import Refusal
from tests.support.cloudformation import Bucket
from tests.support.hurry import HANGS, LEFT_MS, LIVES_MS, SLEEPS, count_runs, hurry_timer
from tests.support.lambda_context import LambdaContext, ManualClock
from tests.support.waiting import Background, Gate, wait_until

from lockgate.awslambda import app, load
from lockgate.awslambda.callers import codepipeline
from lockgate.errors import RequestRefused, RunIncomplete, UnexpectedFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.flows.awaiting import Waiting
    from tests.flows.conftest import Function
    from tests.support.aws_api import AwsApi

# Messages to callers do not depend on the server.
pytestmark = pytest.mark.one_major

ACCOUNT = "CREATE TABLE account (id int PRIMARY KEY);\n"
BROKEN = "CREATE TABLE half ();\nALTER TABLE account ADD COLUMN id int;\n"
RAISES = """
def up(connection):
    raise {error}("hush")
"""
LARGE = "DO $$ BEGIN RAISE EXCEPTION '%', repeat('{character}', 300000); END $$;\n"


def name_of(kind: type[Waiting]) -> str:
    """Return the name of a caller, which selects its tests."""
    return kind.kind.value


@pytest.fixture(params=[CloudFormation, CodePipeline, CodeDeploy], ids=name_of)
def caller(request: pytest.FixtureRequest, function: Function, api: AwsApi) -> Iterator[Waiting]:
    """Return each caller of a function with one migration."""
    function.project.write({"1_account.sql": ACCOUNT})
    if request.param is not CloudFormation:
        yield request.param(function, api)
        return
    with Bucket() as bucket:
        yield CloudFormation(function, api, bucket=bucket)


def log_lines(function: Function, message: str) -> list[dict[str, Any]]:
    """Return the lines of the log with a message."""
    lines = [json.loads(line) for line in function.log_stream.getvalue().splitlines()]
    return [line for line in lines if line["message"] == message]


def is_untouched(function: Function) -> bool:
    """Return whether no migration has run."""
    return function.project.database.run("SELECT to_regclass('account')") == [[None]]


def break_with(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises the error."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


# Success and failure.


def test_migrations_are_applied_and_answered(function: Function, caller: Waiting) -> None:
    """A success is answered with the caller's word, recorded with its event, and not repeated."""
    event = caller.make_event()
    assert caller.success == caller.follow(event).status
    assert caller.success == function.results[-1]["answered"]
    assert [("1", "applied")] == function.project.history()
    ((kind, reference, *rest),) = function.recorded()
    assert (caller.kind, [None, None]) == (kind, rest)
    assert caller.find_identity(event).items() <= reference.items()
    assert caller.success == caller.run().status
    assert ["applied"] == function.project.runs()
    assert 2 == len(caller.sent)
    assert [0, 0] == function.failures_measured()


def test_failing_migration_is_answered_with_the_reason(function: Function, caller: Waiting) -> None:
    """The reason begins with migration and SQLSTATE, is logged, and the failure is counted."""
    caller.run()
    before = function.project.database.dump()
    function.project.write({"2_broken.sql": BROKEN})
    heard = caller.run()
    assert caller.failure == heard.status
    if caller.gives_reasons:
        assert str(heard.reason).startswith("Migration 2 broken failed (42701).")
        assert "2_broken.sql:2:1. It was rolled back; the schema is as it was." in str(heard.reason)
    assert heard.category in {None, "JobFailed"}
    assert caller.failure == function.results[1]["answered"]
    (line,) = log_lines(function, "run_failed")
    assert ("failed", "migration-failed") == (line["status"], line["error_code"])
    assert "2_broken.sql:2:" in line["error"]
    assert before == function.project.database.dump()
    assert [0, 1] == function.failures_measured()


@pytest.mark.parametrize(
    ("variables", "category", "message"),
    [
        ({"LOCKGATE_TLS": "perhaps"}, "ConfigurationError", 'LOCKGATE_TLS cannot be "perhaps"'),
        ({"LOCKGATE_TSL": "off"}, "ConfigurationError", "Unknown setting LOCKGATE_TSL."),
        ({"LOCKGATE_MIGRATIONS": "nowhere"}, "ConfigurationError", "folder nowhere does not exist"),
        (
            {"LOCKGATE_ALLOWED_ACTIONS": "status,down"},
            "ConfigurationError",
            'The action "up" is not allowed',
        ),
        (
            {"LOCKGATE_DATABASE_URL": "postgresql://u:hush@127.0.0.1:1/x"},
            "SystemUnavailable",
            "127.0.0.1:1 could not be",
        ),
        (
            {"LOCKGATE_DATABASE_URL": "postgresql://nobody:hush@{address}"},
            "PermissionError",
            "rejected the credentials of nobody.",
        ),
    ],
    ids=["value", "name", "folder", "action", "address", "credentials"],
)
@pytest.mark.usefixtures("no_pauses")
def test_function_that_cannot_work_answers_with_the_reason(
    function: Function, caller: Waiting, variables: dict[str, str], category: str, message: str
) -> None:
    """A problem with settings, permissions or database is answered, without a password."""
    database = function.project.database
    address = f"{database.host}:{database.port}/{database.name}"
    function.set(**{name: text.format(address=address) for name, text in variables.items()})
    heard = caller.run()
    assert caller.failure == heard.status
    assert heard.category in {None, category}
    if caller.gives_reasons:
        assert message in str(heard.reason)
    (line,) = log_lines(function, "run_failed")
    assert message in line["error"]
    assert is_untouched(function)
    assert "hush" not in f"{heard} {function.read_output()}"


@pytest.mark.parametrize("character", ["x", "ß", "😀", '"'])
def test_reason_of_any_size_is_answered(
    function: Function, caller: Waiting, character: str
) -> None:
    """A very long error is cut to what the caller accepts."""
    function.project.write({"2_large.sql": LARGE.format(character=character)})
    heard = caller.run()
    assert caller.failure == heard.status
    if caller.gives_reasons:
        assert str(heard.reason).startswith("Migration 2 large failed (P0001).")
        assert f"{character}…" in str(heard.reason)


def test_secret_of_the_event_is_written_nowhere(function: Function, caller: Waiting) -> None:
    """What allows others to answer, or to read artifacts, is in no log, metric or row."""
    function.project.write({"2_broken.sql": BROKEN})
    event = caller.make_event()
    secret = caller.find_secret(event)
    assert secret in json.dumps(event)
    caller.follow(event)
    stored = function.project.database.run("SELECT r::text FROM lockgate.migration_run AS r")
    written = function.read_output()
    assert "run_failed" in written
    assert caller.kind in str(stored)
    assert secret not in f"{written} {stored} {function.results}"


def test_event_that_cannot_be_answered_is_refused_before_any_work(
    function: Function, caller: Waiting
) -> None:
    """If the event does not say where to send the outcome, nothing is run and nothing of it shown."""
    for event in caller.make_unanswerable():
        with pytest.raises(RequestRefused, match=caller.refusal) as caught:
            function.handle(event)
        assert "hush" not in f"{caught.value} {caught.value.hint} {function.read_output()}"
    assert [] == caller.sent
    assert is_untouched(function)


# Sending the answer.


@pytest.mark.parametrize(
    "refusals",
    [
        (Refusal.THROTTLED, Refusal.THROTTLED, Refusal.BROKEN, Refusal.RESET),
        (Refusal.BROKEN, Refusal.BROKEN, Refusal.RESET, Refusal.RESET),
    ],
    ids=["once", "twice"],
)
@pytest.mark.usefixtures("no_pauses")
def test_answer_is_sent_until_it_is_taken(
    function: Function, caller: Waiting, refusals: tuple[Refusal, ...]
) -> None:
    """The same answer is sent again after throttling, AWS errors and broken connections."""
    caller.fail_next(*refusals)
    assert caller.success == caller.run().status
    assert 5 == len(caller.sent)
    assert 1 == len(set(caller.sent))
    assert ["applied"] == function.project.runs()


@pytest.mark.usefixtures("no_pauses")
def test_undelivered_answer_is_an_error_and_the_event_is_repeated(
    function: Function, caller: Waiting
) -> None:
    """After five attempts the function fails, so Lambda redelivers the event, which then succeeds."""
    caller.fail_next(*[Refusal.THROTTLED] * 5)
    assert caller.success == caller.run().status
    assert 6 == len(caller.sent)
    assert ["applied"] == function.project.runs()
    statuses = [line["status"] for line in log_lines(function, "run_finished")]
    assert ["applied", "up_to_date"] == statuses


# Defects.


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("read_settings", ""),
        ("make_runner", ""),
        ("_make_deadline", ""),
        ("_yield_answer", "1 migration of this run stays; the database is at version 1. "),
    ],
)
def test_defect_anywhere_is_answered(
    function: Function, caller: Waiting, name: str, stays: str
) -> None:
    """A defect anywhere between reading the settings and the last decision is answered."""
    function.patch.setattr(app, name, break_with(RuntimeError("hush")))
    heard = caller.follow(caller.make_event())
    assert caller.failure == heard.status
    if caller.gives_reasons:
        assert str(heard.reason).startswith(f"{stays}An unexpected RuntimeError ended the run.")
    assert "hush" not in f"{heard.reason} {function.read_output()}"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interruption_is_answered_and_raised_again(
    function: Function, caller: Waiting, kind: type[BaseException]
) -> None:
    """An interruption ends the process, but only after the answer."""
    function.patch.setattr(app, "make_runner", break_with(kind("hush")))
    event = caller.make_event()
    with pytest.raises(kind):
        function.handle(event)
    (heard,) = caller.hear(event)
    assert caller.failure == heard.status
    if caller.gives_reasons:
        assert f"An unexpected {kind.__name__} ended the run." in str(heard.reason)


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit", "GeneratorExit"])
def test_migration_that_ends_the_process_is_answered(
    function: Function, caller: Waiting, error: str
) -> None:
    """If a Python migration raises an interruption, the caller is answered and the lock is free."""
    function.project.write({"2_raises.py": RAISES.format(error=error)})
    event = caller.make_event()
    with contextlib.suppress(KeyboardInterrupt, SystemExit, GeneratorExit):
        function.handle(event)
    assert [caller.failure] == [heard.status for heard in caller.hear(event)]
    function.project.remove("2_raises.py")
    function.project.write({"2_t.sql": "CREATE TABLE t ();"})
    assert "applied" == function.project.run(LOCKGATE_LOCK_WAIT="5s").status


def test_run_is_not_failed_by_its_metrics(function: Function, caller: Waiting) -> None:
    """A failure of the metrics does not turn an applied run into a failed one."""
    function.patch.setattr(app.metrics, "flush_metrics", break_with(RuntimeError("hush")))
    assert caller.success == caller.run().status
    app.metrics.clear_metrics()


def test_function_without_its_package_answers(function: Function, caller: Waiting) -> None:
    """A package that cannot be imported is answered with the reason."""
    missing = ModuleNotFoundError("No module named 'pg8000'")
    caller.handler = load.make_substitute(missing)
    heard = caller.run()
    assert caller.failure == heard.status
    if caller.gives_reasons:
        assert (
            "The function's package cannot be imported. ModuleNotFoundError: No module named"
            " 'pg8000'. Nothing was changed. Build the package with sam build, for the function's"
            " own runtime and architecture, and deploy it."
        ) == heard.reason
    assert "package_not_imported" in function.read_output()


# Time.


def test_answer_arrives_in_time_while_python_hangs(
    function: Function, caller: Waiting, tmp_path: Path
) -> None:
    """If a Python migration hangs, a second thread answers in time and the migration never commits."""
    begun, mark = tmp_path / "begun", tmp_path / "mark"
    function.project.write({"2_hangs.py": HANGS.format(begun=str(begun), mark=str(mark))})
    context = LambdaContext(deadline_ms=60_000)
    contexts = iter([context])
    caller.make_context = lambda: next(contexts, LambdaContext())
    timers = hurry_timer(begun, mark, context.clock, function.project)
    function.patch.setattr(threading, "Timer", timers)
    heard = caller.run()
    assert caller.failure == heard.status
    if caller.gives_reasons:
        reason = "The run did not stop in time; its session ends with this invocation."
        assert str(heard.reason).startswith(reason)
    assert caller.failure == function.results[0]["answered"]
    assert caller.answers_to_failure == len(caller.sent)
    assert "emergency_answer_sent" in function.read_output()
    assert 1 == function.failures_measured()[0]
    assert 1 == sum(function.failures_measured())
    assert [("1", "applied")] == function.project.history()


def test_run_longer_than_an_invocation_continues_in_others(
    function: Function, caller: Waiting
) -> None:
    """The run continues in further invocations, applies each migration once, and is answered once."""
    project = function.project
    slow = {1: "2_b.sql", 2: "4_d.sql"}
    project.write({"3_c.sql": "SELECT 3;", "5_e.sql": "SELECT 5;"})
    project.write(dict.fromkeys(slow.values(), SLEEPS))
    caller.handler = function.handle_hurried
    caller.on_further = lambda number: project.write({slow[number]: "SELECT 1;"})
    assert caller.success == caller.run().status
    assert 2 == caller.further
    assert [1, 2, None] == [result.get("continued") for result in function.results]
    assert 2 == len(log_lines(function, "run_continued"))
    assert [(str(n), "applied") for n in range(1, 6)] == project.history()
    references = [row[1] for row in function.recorded()]
    assert [None, "1", "2"] == [reference.get("hop") for reference in references]
    assert 1 == len({tuple(one[name] for name in caller.lasting) for one in references})
    assert ["incomplete", "incomplete", "applied"] == project.runs()
    assert [0, 0, 0] == function.failures_measured()


def test_run_that_never_ends_fails_after_the_last_invocation(
    function: Function, caller: Waiting
) -> None:
    """A statement longer than any invocation fails after a limited number of invocations."""
    function.patch.setattr(codepipeline, "MOST_JOBS", caller.most_further)
    function.project.write({"2_endless.sql": SLEEPS})
    caller.handler = function.handle_hurried
    heard = caller.run_endless()
    assert (caller.failure, caller.most_further) == (heard.status, caller.further)
    if caller.gives_reasons:
        assert "The run stopped before it was done" in str(heard.reason)
    assert function.project.lock_owner() is None


def test_run_that_would_outlast_the_caller_is_not_continued(
    function: Function, caller: Waiting
) -> None:
    """Shortly before the caller's own timeout the run fails, while the caller still waits."""
    clock, passing = ManualClock(), iter([LIVES_MS - LEFT_MS, 50_000])
    function.patch.setattr(app, "_now", lambda: 1_790_000_000 + clock.now_ms / 1_000)
    function.project.write({"2_endless.sql": SLEEPS})
    caller.handler = lambda event, _: function.handle_passing(event, clock, next(passing, 0))
    last_ms = caller.waits_seconds * 1_000 - 60_000
    caller.on_further = lambda _: clock.advance(last_ms - clock.now_ms)
    heard = caller.run()
    assert (caller.failure, 1) == (heard.status, caller.further)
    if caller.gives_reasons:
        assert "The run stopped before it was done" in str(heard.reason)


# Delivered twice.


def test_event_delivered_twice_at_once_does_the_work_once(
    function: Function, caller: Waiting
) -> None:
    """The second delivery waits, finds the work done, and sends the same answer."""
    gate = Gate(function.project.database)
    function.project.write({"2_once.sql": f"{Gate.SQL}INSERT INTO account VALUES (1);"})
    event = caller.make_event()
    deliveries = [Background.start(lambda: function.handle(event)) for _ in range(2)]
    gate.wait()
    wait_until(lambda: count_runs(function.project) == len(deliveries), "a second run")
    gate.open()
    answered = sorted(one.result()["answered"] for one in deliveries)
    assert sorted([caller.success, caller.answered_before]) == answered
    assert {caller.success} == {heard.status for heard in caller.hear(event)}
    assert [[1]] == function.project.database.run("SELECT count(*) FROM account")
    has_warned = "answer_not_awaited" in function.read_output()
    assert (caller.answered_before == "not_awaited") == has_warned
    assert [0, 0] == function.failures_measured()


def test_event_delivered_again_after_success_does_nothing_again(
    function: Function, caller: Waiting
) -> None:
    """A late copy of a successful event finds nothing to do."""
    event = caller.make_event()
    first, again = function.handle(event), function.handle(event)
    assert (caller.success, caller.answered_before) == (first["answered"], again["answered"])
    assert ["applied"] == function.project.runs()


def hold_lock(function: Function, event: dict[str, Any]) -> tuple[Gate, Background]:
    """Deliver an event; its run holds the lock until the gate opens, and others wait only briefly."""
    gate = Gate(function.project.database)
    function.project.write({"2_slow.sql": Gate.SQL})
    first = Background.start(lambda: function.handle(event))
    gate.wait()
    function.set(LOCKGATE_LOCK_WAIT="100ms")
    return gate, first


def test_second_delivery_leaves_the_answer_to_the_first(
    function: Function, caller: Waiting
) -> None:
    """While the first delivery runs, the second one sends no answer and counts no failure."""
    event = caller.make_event()
    gate, first = hold_lock(function, event)
    second = function.handle(event)
    assert [] == caller.sent
    gate.open()
    assert first.result()["run_id"] == second["left_to"]
    assert [caller.success] == [heard.status for heard in caller.hear(event)]
    assert [0, 0] == function.failures_measured()


def test_another_event_is_told_that_the_database_is_busy(
    function: Function, caller: Waiting
) -> None:
    """A run answers only its own event; another event fails, and its reason names the holder."""
    event = caller.make_event()
    gate, first = hold_lock(function, event)
    other = caller.run()
    assert [] == caller.hear(event)
    gate.open()
    assert caller.success == first.result()["answered"]
    assert caller.failure == other.status
    assert other.category in {None, "JobFailed"}
    if caller.gives_reasons:
        assert "Another run holds the migration lock." in str(other.reason)
    assert [caller.success] == [heard.status for heard in caller.hear(event)]


# What CodePipeline has no part in: it starts the next invocation itself.


@pytest.mark.parametrize("caller", [CloudFormation, CodeDeploy], indirect=True, ids=name_of)
@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (
            RunIncomplete("It could not be invoked.", hint="Allow it."),
            "It could not be invoked. What this run did was rolled back; the schema is as it was. Allow",
        ),
        (RuntimeError("hush"), "An unexpected RuntimeError"),
    ],
    ids=["denied", "defect"],
)
def test_run_that_cannot_be_handed_on_is_answered(
    function: Function, caller: Waiting, failure: Exception, reason: str
) -> None:
    """A function that cannot invoke itself answers at once with the reason."""
    function.set(LOCKGATE_ATOMICITY="run")
    function.patch.setattr(app, "invoke_again", break_with(failure))
    function.project.write({"2_endless.sql": SLEEPS})
    caller.handler = function.handle_hurried
    heard = caller.run()
    assert (caller.failure, 0) == (heard.status, caller.further)
    if caller.gives_reasons:
        assert reason in str(heard.reason)
    assert function.project.lock_owner() is None


# What CloudFormation has no part in: its answer needs no permission.


@pytest.mark.parametrize(
    ("caller", "name", "permission"),
    [
        (CodePipeline, "CodePipeline", "codepipeline:PutJobSuccessResult and"),
        (CodeDeploy, "CodeDeploy", "codedeploy:PutLifecycleEventHookExecutionStatus in the role's"),
    ],
    indirect=["caller"],
    ids=["codepipeline", "codedeploy"],
)
def test_function_without_permission_to_answer_names_it(
    function: Function, caller: Waiting, name: str, permission: str
) -> None:
    """A missing permission is not retried, and the error names it."""
    caller.fail_next(Refusal.DENIED)
    with pytest.raises(UnexpectedFailure) as caught:
        function.handle(caller.make_event())
    assert (
        f"{name} cannot be sent the outcome: this role may not do that"
        " (AccessDeniedException). What the run did to the database stays."
    ) == caught.value.message
    assert str(caught.value.hint).startswith(f"Allow {permission}")
    assert 1 == len(caller.sent)
