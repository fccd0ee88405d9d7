"""A pipeline's action: each job gets one answer in every case, over as many jobs as needed."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.aws_api import Pipeline, Refusal
from tests.support.hurry import LEFT_MS, LIVES_MS, SLEEPS, count_runs
from tests.support.lambda_context import LambdaContext, ManualClock
from tests.support.waiting import Background, Gate, wait_until

from lockgate.awslambda import app
from lockgate.awslambda.callers import codepipeline
from lockgate.errors import RequestRefused, UnexpectedFailure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.conftest import Function
    from tests.support.aws_api import AwsApi

# Messages to callers do not depend on the server.
pytestmark = pytest.mark.one_major

ACCOUNT = "CREATE TABLE account (id int PRIMARY KEY);\n"
BROKEN = "CREATE TABLE half ();\nALTER TABLE account ADD COLUMN id int;\n"
HANGS = """
import pathlib
import time


def up(connection):
    pathlib.Path({begun!r}).touch()
    while not pathlib.Path({mark!r}).exists():
        time.sleep(0.01)
    connection.exec_driver_sql("CREATE TABLE never (id int)")
"""


@pytest.fixture
def pipeline(function: Function, api: AwsApi) -> Pipeline:
    """Return a pipeline whose action is the function, with one migration."""
    function.project.write({"1_account.sql": ACCOUNT})
    return Pipeline(api, function.handle)


def job_ids(pipeline: Pipeline) -> list[str]:
    """Return the id of every job that was sent."""
    return [event["CodePipeline.job"]["id"] for event in pipeline.events]


# One job.


@pytest.mark.parametrize("parameters", [None, "  ", '{"action": "up"}'])
def test_action_migrates_and_says_what_it_did(
    function: Function, pipeline: Pipeline, parameters: str | None
) -> None:
    """Without parameters the action is an up, and the pipeline gets a summary and variables."""
    action = pipeline.run(parameters)
    run_id = function.results[0]["run_id"]
    assert {
        "jobId": job_ids(pipeline)[0],
        "executionDetails": {
            "summary": "Applied 1 migration. The database is at 1.",
            "externalExecutionId": run_id,
            "percentComplete": 100,
        },
        "outputVariables": {
            "Status": "applied",
            "RunId": run_id,
            "FromVersion": "",
            "ToVersion": "1",
            "AppliedCount": "1",
            "PendingCount": "0",
            "RevertedCount": "0",
        },
    } == action.result
    assert {"answered": "Succeeded", "run_id": run_id} == function.results[0]
    assert [("1", "applied")] == function.project.history()


def test_run_is_recorded_with_job_and_execution(function: Function, pipeline: Pipeline) -> None:
    """The recorded run names the pipeline's job, and requester and reason from the command."""
    command = {"reason": "release 8", "requested_by": "ada", "execution": "4f2c41d0-0000"}
    pipeline.run(json.dumps(command))
    reference = {"job_id": job_ids(pipeline)[0], "execution": "4f2c41d0-0000"}
    assert [["codepipeline", reference, "ada", "release 8"]] == function.recorded()


@pytest.mark.parametrize(
    ("action", "summary", "status"),
    [
        ("plan", "1 migration pending. The database has no version.", "planned"),
        ("validate", "1 migration pending. The database has no version.", "planned"),
        ("history", "Nothing was done. The database has no version.", "up_to_date"),
    ],
)
def test_action_that_looks_changes_nothing(
    function: Function, pipeline: Pipeline, action: str, summary: str, status: str
) -> None:
    """A pipeline can plan before a manual approval without changing anything."""
    before = function.project.database.dump(without=())
    found = pipeline.run(json.dumps({"action": action}))
    assert summary == found.result["executionDetails"]["summary"]
    assert (status, "0") == (found.variables["Status"], found.variables["AppliedCount"])
    assert before == function.project.database.dump(without=())


def test_operators_action_needs_a_function_that_may(function: Function, pipeline: Pipeline) -> None:
    """An action outside LOCKGATE_ALLOWED_ACTIONS fails the job, and an allowed one runs."""
    function.project.write(
        {"2_t.sql": "-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;\n"}
    )
    pipeline.run()
    command = json.dumps({"action": "down", "steps": 1, "requested_by": "ada", "reason": "why"})
    refused = pipeline.run(command)
    assert (False, "ConfigurationError") == (
        refused.is_success,
        refused.result["failureDetails"]["type"],
    )
    assert 'The action "down" is not allowed on this function' in refused.message
    function.set(LOCKGATE_ALLOWED_ACTIONS="down")
    done = pipeline.run(command)
    assert ("1", "1") == (done.variables["RevertedCount"], done.variables["ToVersion"])
    summary = done.result["executionDetails"]["summary"]
    assert "Undid 1 migration. The database is at 1." == summary


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("up", "The action's UserParameters are not a JSON object. Nothing was changed."),
        ("[" * 100_000, "The action's UserParameters are not a JSON object. Nothing was changed."),
        ('{"action": "hush"}', 'Unknown action "hush".'),
        ('{"target": "latest"}', "The target latest is not a version in"),
    ],
)
def test_wrong_parameters_are_answered(
    function: Function, pipeline: Pipeline, parameters: str, message: str
) -> None:
    """Invalid parameters fail the action immediately and the message says what is accepted."""
    action = pipeline.run(parameters)
    assert "ConfigurationError" == action.result["failureDetails"]["type"]
    assert message in action.message
    assert "Nothing was " in action.message
    assert function.project.database.run("SELECT to_regclass('account')") == [[None]]


def test_failing_migration_fails_the_action(function: Function, pipeline: Pipeline) -> None:
    """The message begins with migration and SQLSTATE, and the failure is counted."""
    pipeline.run()
    before = function.project.database.dump()
    function.project.write({"2_broken.sql": BROKEN})
    action = pipeline.run()
    details = action.result["failureDetails"]
    assert ("JobFailed", function.results[1]["run_id"]) == (
        details["type"],
        details["externalExecutionId"],
    )
    assert action.message.startswith("Migration 2 broken failed (42701).")
    assert "2_broken.sql:2:1. It was rolled back; the schema is as it was." in action.message
    assert "Failed" == function.results[1]["answered"]
    assert before == function.project.database.dump()
    assert [0, 1] == function.failures_measured()


@pytest.mark.parametrize(
    ("variables", "kind", "message"),
    [
        ({"LOCKGATE_TLS": "perhaps"}, "ConfigurationError", 'LOCKGATE_TLS cannot be "perhaps"'),
        ({"LOCKGATE_TSL": "off"}, "ConfigurationError", "Unknown setting LOCKGATE_TSL."),
        ({"LOCKGATE_MIGRATIONS": "nowhere"}, "ConfigurationError", "folder nowhere does not exist"),
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
)
@pytest.mark.usefixtures("no_pauses")
def test_function_that_cannot_work_fails_the_action(
    function: Function, pipeline: Pipeline, variables: dict[str, str], kind: str, message: str
) -> None:
    """Each problem with settings or database is reported with CodePipeline's own failure type."""
    database = function.project.database
    address = f"{database.host}:{database.port}/{database.name}"
    function.set(**{name: text.format(address=address) for name, text in variables.items()})
    action = pipeline.run()
    assert kind == action.result["failureDetails"]["type"]
    assert message in action.message
    assert "hush" not in action.message + function.read_output()


def test_credentials_of_the_event_are_nowhere(function: Function, pipeline: Pipeline) -> None:
    """The artifact credentials in the event appear in no log, metric, answer or database row."""
    function.project.write({"2_broken.sql": BROKEN})
    pipeline.run('{"reason": "release 8"}')
    pipeline.run('{"nonsense": 1}')
    written = function.read_output()
    stored = function.project.database.run("SELECT r::text FROM lockgate.migration_run AS r")
    assert "run_failed" in written
    assert "release 8" in str(stored)
    assert "hush" not in f"{written} {stored} {pipeline.api.calls} {function.results}"


# The answer.


@pytest.mark.usefixtures("no_pauses")
def test_answer_is_sent_until_it_is_taken(
    function: Function, pipeline: Pipeline, api: AwsApi
) -> None:
    """The answer is sent again after throttling, AWS errors and a broken connection."""
    for refusal in (Refusal.THROTTLED, Refusal.THROTTLED, Refusal.BROKEN, Refusal.RESET):
        api.fail_next(1, refusal)
    assert pipeline.run().is_success
    assert 5 == len(api.calls)
    assert 1 == len({json.dumps(call.arguments) for call in api.calls})
    assert ["applied"] == function.project.runs()


@pytest.mark.usefixtures("no_pauses")
def test_answer_that_nobody_takes_is_an_error_and_comes_again(
    function: Function, pipeline: Pipeline, api: AwsApi
) -> None:
    """After five attempts the function fails, so Lambda redelivers the event, which then succeeds."""
    api.fail_next(5, Refusal.THROTTLED)
    action = pipeline.run()
    assert (True, "up_to_date") == (action.is_success, action.variables["Status"])
    assert ["applied"] == function.project.runs()


def test_function_that_may_not_answer_says_what_it_lacks(
    function: Function, pipeline: Pipeline, api: AwsApi
) -> None:
    """A missing permission is not retried, and the error names it."""
    api.fail_next(1, Refusal.DENIED)
    with pytest.raises(UnexpectedFailure) as caught:
        function.handle(pipeline.make_event())
    assert (
        "CodePipeline cannot be sent the outcome: this role may not do that"
        " (AccessDeniedException). What the run did to the database stays."
    ) == caught.value.message
    assert "Allow codepipeline:PutJobSuccessResult and" in str(caught.value.hint)
    assert 1 == len(api.calls)


def test_job_that_codepipeline_does_not_know_is_an_error(
    function: Function, pipeline: Pipeline, api: AwsApi
) -> None:
    """An invented job id is reported as unknown, after a run that any command could request."""
    event = pipeline.make_event()
    api.waiting.clear()
    with pytest.raises(
        UnexpectedFailure, match=r"this account and region have no job with this id"
    ) as caught:
        function.handle(event)
    assert "Only CodePipeline may invoke" in str(caught.value.hint)
    assert 1 == len(api.calls)


@pytest.mark.parametrize("job", [None, {"id": "hush"}])
def test_job_without_an_id_is_refused_before_any_work(
    function: Function, pipeline: Pipeline, api: AwsApi, job: object
) -> None:
    """Without a job id no outcome could be reported, so nothing is run."""
    del pipeline
    with pytest.raises(RequestRefused, match="has no id, so CodePipeline cannot be sent") as caught:
        function.handle({"CodePipeline.job": job})
    assert [] == api.calls
    assert function.project.database.run("SELECT to_regclass('account')") == [[None]]
    assert "hush" not in f"{caught.value} {function.read_output()}"


def break_with(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises the error."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("name", ["read_settings", "_make_deadline", "_yield_answer"])
def test_defect_anywhere_is_answered(function: Function, pipeline: Pipeline, name: str) -> None:
    """A defect anywhere between reading the settings and the last decision is answered."""
    function.patch.setattr(app, name, break_with(RuntimeError("hush")))
    action = pipeline.run()
    assert action.message.startswith("An unexpected RuntimeError ended the run.")
    assert "hush" not in action.message


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interruption_is_answered_and_goes_on(
    function: Function, pipeline: Pipeline, api: AwsApi, kind: type[BaseException]
) -> None:
    """An interruption ends the process, but only after the answer."""
    function.patch.setattr(app, "make_runner", break_with(kind("hush")))
    with pytest.raises(kind):
        function.handle(pipeline.make_event())
    assert 1 == len(api.heard("PutJobFailureResult"))


def test_answer_comes_in_time_though_python_hangs(
    function: Function, pipeline: Pipeline, api: AwsApi, tmp_path: Path
) -> None:
    """If a Python migration hangs, a second thread answers in time and the migration never commits."""
    begun, mark = tmp_path / "begun", tmp_path / "mark"
    function.project.write({"2_hangs.py": HANGS.format(begun=str(begun), mark=str(mark))})
    context = LambdaContext(deadline_ms=60_000)
    make_timer = threading.Timer

    def make_hurried(seconds: float, answer: Callable[[], None]) -> threading.Timer:
        """Let the second thread's timer fire as soon as the migration hangs."""

        def run() -> None:
            try:
                wait_until(begun.exists, "a migration that hangs")
                context.clock.advance(round(seconds * 1_000))
                answer()
                wait_until(lambda: not count_runs(function.project), "the end of the session")
            finally:
                mark.touch()

        return make_timer(0, run)

    function.patch.setattr(threading, "Timer", make_hurried)
    pipeline.make_context = lambda: context
    action = pipeline.run()
    assert action.message.startswith("The run did not stop in time; its session ends with this")
    assert "Failed" == function.results[0]["answered"]
    assert 1 == len(api.calls)
    assert "emergency_answer_sent" in function.read_output()
    assert [("1", "applied")] == function.project.history()


# Delivered twice.


def test_job_delivered_twice_at_once_does_the_work_once(
    function: Function, pipeline: Pipeline, api: AwsApi
) -> None:
    """The second delivery waits, finds the work done, and learns that the job was answered."""
    gate = Gate(function.project.database)
    function.project.write({"2_once.sql": f"{Gate.SQL}INSERT INTO account VALUES (1);"})
    event = pipeline.make_event()
    deliveries = [Background.start(lambda: function.handle(event)) for _ in range(2)]
    gate.wait()
    wait_until(lambda: count_runs(function.project) == len(deliveries), "a second run")
    gate.open()
    answered = sorted(one.result()["answered"] for one in deliveries)
    assert ["Succeeded", "nobody"] == answered
    assert 1 == len(api.heard("PutJobSuccessResult"))
    assert [[1]] == function.project.database.run("SELECT count(*) FROM account")
    assert "answer_not_awaited" in function.read_output()
    assert [0, 0] == function.failures_measured()


def test_second_delivery_leaves_the_answer_to_the_first(
    function: Function, pipeline: Pipeline, api: AwsApi
) -> None:
    """While the first delivery runs, the second one sends no answer to CodePipeline."""
    gate = Gate(function.project.database)
    function.project.write({"2_slow.sql": Gate.SQL})
    event = pipeline.make_event()
    first = Background.start(lambda: function.handle(event))
    gate.wait()
    function.set(LOCKGATE_LOCK_WAIT="100ms")
    second = function.handle(event)
    assert [] == api.calls
    gate.open()
    assert first.result()["run_id"] == second["left_to"]
    assert 1 == len(api.heard("PutJobSuccessResult"))


def test_another_job_hears_that_the_database_is_busy(
    function: Function, pipeline: Pipeline, api: AwsApi
) -> None:
    """A run answers only its own job; another pipeline's job fails and its message names the holder."""
    gate = Gate(function.project.database)
    function.project.write({"2_slow.sql": Gate.SQL})
    first = Background.start(lambda: function.handle(pipeline.make_event()))
    gate.wait()
    function.set(LOCKGATE_LOCK_WAIT="100ms")
    other = replace(pipeline, events=[]).run()
    gate.open()
    first.result()
    assert "JobFailed" == other.result["failureDetails"]["type"]
    assert "Another run holds the migration lock." in other.message
    assert 1 == len(api.heard("PutJobSuccessResult"))


# Long runs.


def test_run_longer_than_an_invocation_goes_on_in_further_jobs(
    function: Function, pipeline: Pipeline
) -> None:
    """Each job reports the progress; only the last one ends the action and sets the variables."""
    project = function.project
    slow = {1: "2_b.sql", 2: "4_d.sql"}
    project.write({"3_c.sql": "SELECT 3;", "5_e.sql": "SELECT 5;"})
    project.write(dict.fromkeys(slow.values(), SLEEPS))
    pipeline.handler = function.handle_hurried
    pipeline.on_job = lambda count: project.write({slow[count]: "SELECT 1;"})
    action = pipeline.run('{"reason": "release 8"}')
    assert [(str(n), "applied") for n in range(1, 6)] == project.history()
    details = [step["executionDetails"] for step in action.steps]
    assert [20, 60, 100] == [one["percentComplete"] for one in details]
    assert (
        "Applied 1 migration. 4 migrations still to do; the run continues. The database is at 1."
    ) == details[0]["summary"]
    assert [False, False, True] == ["outputVariables" in step for step in action.steps]
    first, second, third = job_ids(pipeline)
    assert [
        ["codepipeline", {"job_id": first}, None, "release 8"],
        [
            "codepipeline",
            {"job_id": second, "first_job_id": first, "hop": "1"},
            None,
            "release 8",
        ],
        ["codepipeline", {"job_id": third, "first_job_id": first, "hop": "2"}, None, "release 8"],
    ] == function.recorded()
    assert ["incomplete", "incomplete", "applied"] == project.runs()
    assert [0, 0, 0] == function.failures_measured()


def test_down_by_steps_is_not_continued(function: Function, pipeline: Pipeline) -> None:
    """Repeating the down would undo more steps, so the action fails and reports how far it came."""
    project = function.project
    for version, down in (("2", SLEEPS), ("3", "SELECT 3;")):
        project.write({f"{version}_t.sql": f"-- migrate:up\nSELECT 1;\n-- migrate:down\n{down}\n"})
    pipeline.run()
    function.set(LOCKGATE_ALLOWED_ACTIONS="down")
    pipeline.handler = function.handle_hurried
    command = {"action": "down", "steps": 2, "requested_by": "ada", "reason": "why"}
    action = pipeline.run(json.dumps(command))
    assert (False, 1) == (action.is_success, len(action.steps))
    assert (
        "The run stopped before it was done. Undid 1 migration. It does not continue automatically,"
        " because steps count from what is applied when a job starts. Undone by this run: 3."
        ' Run the rest with "target" instead'
    ) in action.message
    assert [("1", "applied"), ("2", "applied")] == project.history()


def test_run_that_never_ends_fails_after_the_last_job(
    function: Function, pipeline: Pipeline
) -> None:
    """A statement longer than any invocation fails after a limited number of jobs."""
    function.patch.setattr(codepipeline, "MOST_JOBS", 3)
    function.project.write({"2_endless.sql": SLEEPS})
    pipeline.handler = function.handle_hurried
    action = pipeline.run()
    assert (False, 4) == (action.is_success, len(action.steps))
    assert "The run stopped before it was done" in action.message
    assert function.project.lock_owner() is None


def test_run_older_than_a_day_is_not_continued(function: Function, pipeline: Pipeline) -> None:
    """Shortly before the action's own timeout the last job fails, while CodePipeline still listens."""
    clock, day_ms = ManualClock(), 24 * 3_600_000
    passing = [LIVES_MS - LEFT_MS, 50_000]
    function.patch.setattr(app, "_now", lambda: 1_790_000_000 + clock.now_ms / 1_000)
    function.project.write({"2_endless.sql": SLEEPS})
    pipeline.handler = lambda event, _: function.handle_passing(event, clock, passing.pop(0))
    pipeline.on_job = lambda _count: clock.advance(day_ms - 60_000 - clock.now_ms)
    action = pipeline.run()
    assert (False, 2) == (action.is_success, len(action.steps))
    assert "The run stopped before it was done" in action.message


def test_run_whose_job_is_over_is_not_continued(
    function: Function, pipeline: Pipeline, api: AwsApi
) -> None:
    """A job that is already over gets no continuation token and no answer."""
    function.project.write({"2_endless.sql": SLEEPS})
    event = pipeline.make_event()
    job_id = event["CodePipeline.job"]["id"]
    api.waiting.remove(job_id)
    api.over.add(job_id)
    result = function.handle_hurried(event)
    assert "nobody" == result["answered"]
    assert [] == api.heard()
    assert function.project.lock_owner() is None


@pytest.mark.usefixtures("no_pauses")
def test_token_that_cannot_be_told_fails_the_action(
    function: Function, pipeline: Pipeline, api: AwsApi
) -> None:
    """If the continuation token cannot be sent, the action fails with the reason."""
    function.project.write({"2_endless.sql": SLEEPS})
    api.fail_next(5, Refusal.THROTTLED)
    pipeline.handler = function.handle_hurried
    action = pipeline.run()
    assert "CodePipeline cannot be sent the outcome: AWS answered Throttling" in action.message
