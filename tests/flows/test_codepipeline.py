"""What only CodePipeline has: commands, summaries, variables, and runs over several jobs.

The contract of all callers that wait for an answer is in `test_awaiting`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.aws_api import Pipeline, Refusal
from tests.support.hurry import SLEEPS

from lockgate.errors import UnexpectedFailure

if TYPE_CHECKING:
    from tests.flows.conftest import Function
    from tests.support.aws_api import AwsApi

# Messages to callers do not depend on the server.
pytestmark = pytest.mark.one_major

ACCOUNT = "CREATE TABLE account (id int PRIMARY KEY);\n"
BROKEN = "CREATE TABLE half ();\nALTER TABLE account ADD COLUMN id int;\n"


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
def test_action_migrates_and_reports_what_it_did(
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
def test_read_only_action_changes_nothing(
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


def test_failure_carries_the_id_of_the_run(function: Function, pipeline: Pipeline) -> None:
    """The pipeline shows the run's id beside the message, so that the log can be searched for it."""
    function.project.write({"2_broken.sql": BROKEN})
    details = pipeline.run().result["failureDetails"]
    assert ("JobFailed", function.results[0]["run_id"]) == (
        details["type"],
        details["externalExecutionId"],
    )


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


# Long runs.


def test_run_longer_than_an_invocation_continues_in_other_jobs(
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
    assert "not_awaited" == result["answered"]
    assert [] == api.heard()
    assert function.project.lock_owner() is None


@pytest.mark.usefixtures("no_pauses")
def test_unreadable_token_fails_the_action(
    function: Function, pipeline: Pipeline, api: AwsApi
) -> None:
    """If the continuation token cannot be sent, the action fails with the reason."""
    function.project.write({"2_endless.sql": SLEEPS})
    api.fail_next(5, Refusal.THROTTLED)
    pipeline.handler = function.handle_hurried
    action = pipeline.run()
    assert "CodePipeline cannot be sent the outcome: AWS answered Throttling" in action.message
