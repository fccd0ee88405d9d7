"""`lockgate invoke`: the terminal command, Lambda's API on loopback, and the real handler."""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.httpsession import URLLib3Session
from tests.support.aws_api import AwsApi, Invoked
from tests.support.command import Outcome
from tests.support.hurry import SLEEPS
from tests.support.waiting import Background, Gate, wait_until

from lockgate.aws import function as remote_function
from lockgate.core.request import Action
from lockgate.errors import LockgateError, public_class
from lockgate.local.certificates import make_certificates
from lockgate.report.report import Report, Status
from lockgate.terminal import remote
from lockgate.terminal.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.conftest import Function

# Messages to callers do not depend on the server.
pytestmark = pytest.mark.one_major

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:shop-Migrate"
TIMED_OUT = "RequestId: 8f5a1e7c Error: Task timed out after 900.00 seconds"


@dataclass(slots=True)
class Behind:
    """The function behind the API: it records name and payload of each call, and answers."""

    handle: Callable[[Any], Any]
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def __call__(self, name: str, payload: Any) -> Invoked:
        """Run the handler and wrap its result or error as Lambda does."""
        self.asked.append((name, payload))
        try:
            return Invoked(json.loads(json.dumps(self.handle(payload))))
        except LockgateError as error:
            return Invoked(
                {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": []},
                function_error="Unhandled",
            )


@pytest.fixture
def stub(api: AwsApi) -> Behind:
    """Return a function without a database that always reports up to date."""
    report = Report(Status.UP_TO_DATE, Action.UP, "run-1").to_json()
    api.function = stub = Behind(lambda _: report)
    return stub


@pytest.fixture
def behind(function: Function, api: AwsApi) -> Behind:
    """Return the function behind the API, with one migration."""
    function.project.write({"1_account.sql": "CREATE TABLE account (id int PRIMARY KEY);\n"})
    behind = Behind(function.handle)
    api.function = behind
    return behind


@pytest.fixture
def run(
    api: AwsApi, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Return a function that runs the command on the terminal."""
    for name, value in api.environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, name: str = "shop-Migrate") -> Outcome:
        capfd.readouterr()
        try:
            status = main(["invoke", name, *arguments])
        except SystemExit as exit_:
            status = int(str(exit_.code))
        captured = capfd.readouterr()
        # The handler runs in this process, and its metrics go to the same output as the report.
        lines = captured.out.splitlines(keepends=True)
        out = "".join(line for line in lines if not line.startswith('{"_aws"'))
        return Outcome(status, out, captured.err)

    return run


# A run and its output.


def test_run_is_shown_as_a_local_one(run: Callable[..., Outcome], behind: Behind) -> None:
    """The report is printed to standard output, and a second run has nothing to do."""
    first, second = run("--reason", "release 8", "--requested-by", "ci"), run("--quiet")
    assert (0, 0) == (first.status, second.status)
    assert first.out.startswith("✓ applied 1 migration in ")
    assert "Applied\n" in first.out
    assert "✓ up to date, at 1\n" == second.out
    assert ("", "") == (first.err, second.err)
    name, command = behind.asked[0]
    assert ("shop-Migrate", {"action": "up", "reason": "release 8", "requested_by": "ci"}) == (
        name,
        command,
    )


@pytest.mark.usefixtures("behind")
def test_json_is_one_value_and_nothing_else(run: Callable[..., Outcome]) -> None:
    """With --json, standard output is exactly the function's report."""
    outcome = run("--json")
    assert (0, 1, "") == (outcome.status, outcome.out.count("\n"), outcome.err)
    report = outcome.report
    assert ("lockgate/report/v1", "applied", "direct") == (
        report["format"],
        report["status"],
        report["caller"],
    )


@pytest.mark.usefixtures("behind")
def test_run_is_recorded_with_its_requester(
    run: Callable[..., Outcome], function: Function
) -> None:
    """By default the requester is the user; the CI job's id is stored in the caller's reference."""
    function.set(LOGNAME="ada", USER="ada")
    run("--execution", "https://ci.example.com/builds/12", "--reason", "release 8")
    reference = {"execution": "https://ci.example.com/builds/12"}
    assert [["direct", reference, "ada", "release 8"]] == function.recorded()


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["--action", "status"], {"action": "status"}),
        (["--target", "1"], {"action": "up", "target": "1"}),
        (
            ["--action", "plan", "--down", "--steps", "2"],
            {"action": "plan", "direction": "down", "steps": 2},
        ),
        (
            ["--action", "down", "--target", "0", "--allow-data-loss", "--reason", "why"],
            {"action": "down", "target": "0", "allow_data_loss": True, "reason": "why"},
        ),
        (
            ["--action", "repair", "--accept", "1", "--apply", "--reason", "why"],
            {"action": "repair", "accept": "1", "dry_run": False, "reason": "why"},
        ),
        (
            ["--action", "adopt", "--from", "goose", "--dry-run", "--reason", "why"],
            {"action": "adopt", "from": "goose", "dry_run": True, "reason": "why"},
        ),
        (["--action", "history", "--limit", "5"], {"action": "history", "limit": 5}),
        (["--action", "unlock", "--reason", "why"], {"action": "unlock", "reason": "why"}),
    ],
)
def test_options_become_the_command(
    run: Callable[..., Outcome], stub: Behind, arguments: list[str], command: dict[str, Any]
) -> None:
    """Each option becomes a key of the command, and the function is called once."""
    run(*arguments, "--requested-by", "ada")
    assert [("shop-Migrate", {**command, "requested_by": "ada"})] == stub.asked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "3"], 'Unknown key "steps" for the action "up".'),
        (["--action", "down"], 'The action "down" needs reason.'),
        (["--action", "repair", "--reason", "x"], "A repair makes one change to one migration"),
        (["--target", "\n"], "is invalid. Nothing was changed."),
    ],
)
def test_command_that_cannot_be_is_refused_here(
    run: Callable[..., Outcome], stub: Behind, arguments: list[str], said: str
) -> None:
    """An invalid command is refused locally, without calling the function."""
    outcome = run(*arguments)
    assert (2, []) == (outcome.status, stub.asked)
    assert said in outcome.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--action", "sideways"], "invalid choice: 'sideways'"),
        (["--steps", "0"], "0 is not a whole number of 1 or more"),
        (["--regoin", "x"], "--regoin is not understood; did you mean --region?"),
        (["--dry-run", "--apply"], "not allowed with argument --dry-run"),
    ],
)
def test_wrong_usage_is_refused(
    run: Callable[..., Outcome], stub: Behind, arguments: list[str], said: str
) -> None:
    """The usage is printed to standard error."""
    outcome = run(*arguments)
    assert (2, "", []) == (outcome.status, outcome.out, stub.asked)
    assert said in outcome.err


# Exit statuses.


@pytest.mark.usefixtures("behind")
def test_failing_run_exits_with_1(run: Callable[..., Outcome], function: Function) -> None:
    """The report, including the location, is read from the function's error."""
    function.project.write({"2_broken.sql": "SELECT nothing;\n"})
    outcome = run()
    assert 1 == outcome.status
    assert "Statement 1 of migration 2 broken failed" in outcome.out
    assert f"{function.project.folder}/2_broken.sql:1:8\n" in outcome.out
    assert "42703" == run("--json").report["error"]["sqlstate"]


@pytest.mark.usefixtures("behind")
def test_refused_run_exits_with_2(run: Callable[..., Outcome]) -> None:
    """An action that is not allowed is refused by the function."""
    outcome = run("--action", "unlock", "--reason", "why")
    assert 2 == outcome.status
    assert 'The action "unlock" is not allowed on this function' in outcome.out


@pytest.mark.usefixtures("behind")
def test_busy_database_exits_with_3(run: Callable[..., Outcome], function: Function) -> None:
    """If another run holds the lock, the report names it."""
    gate = Gate(function.project.database)
    function.project.write({"2_slow.sql": Gate.SQL})
    first = Background.start(lambda: function.handle({}))
    gate.wait()
    function.set(LOCKGATE_LOCK_WAIT="0")
    outcome = run()
    gate.open()
    first.result()
    assert 3 == outcome.status
    assert "Another run holds the migration lock." in outcome.out


# Long runs.


def test_run_longer_than_an_invocation_is_invoked_again(
    run: Callable[..., Outcome], function: Function, behind: Behind
) -> None:
    """The command prints that it invokes again, and ends with the last report."""
    project = function.project
    project.write({"2_slow.sql": SLEEPS, "3_c.sql": "SELECT 3;"})

    def handle(event: Any) -> Any:
        try:
            return function.handle_hurried(event)
        finally:
            project.write({"2_slow.sql": "SELECT 1;"})

    behind.handle = handle
    outcome = run()
    assert 0 == outcome.status
    assert "  ! Invocation 1 ended after 1 migration; invoking again.\n" == outcome.err
    assert outcome.out.startswith("✓ applied 2 migrations in ")
    assert 2 == len(behind.asked)
    assert behind.asked[0] == behind.asked[1]


def make_incomplete(_: object) -> Any:
    """Fail like a run whose time is over."""
    report = {"format": "lockgate/report/v1", "status": "incomplete", "run_id": "run-1"}
    error = {"code": "run-incomplete", "message": "It stopped.", "type": "RunIncomplete"}
    empty = dict.fromkeys(("hint", "sqlstate", "migration", "file", "line", "excerpt"))
    text = json.dumps({**report, "error": {**error, **empty, "blockers": []}})
    raise public_class(LockgateError(""))(text)


def test_run_that_never_ends_exits_with_4(
    run: Callable[..., Outcome], stub: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a limited number of invocations the command gives up."""
    monkeypatch.setattr(remote, "MOST_INVOCATIONS", 3)
    stub.handle = make_incomplete
    outcome = run("--quiet")
    assert (4, 3, "") == (outcome.status, len(stub.asked), outcome.err)
    assert "It stopped." in outcome.out


def test_down_by_steps_is_invoked_once(run: Callable[..., Outcome], stub: Behind) -> None:
    """A down by steps is not repeated, since that would undo more migrations."""
    stub.handle = make_incomplete
    outcome = run("--action", "down", "--steps", "2", "--reason", "why")
    assert (4, 1) == (outcome.status, len(stub.asked))


# Functions that return no report.


@pytest.mark.parametrize(
    ("payload", "status", "code", "said"),
    [
        (
            {"errorType": "Sandbox.Timedout", "errorMessage": TIMED_OUT},
            4,
            "run-incomplete",
            "The function was killed at its timeout: RequestId: 8f5a1e7c Error: Task timed",
        ),
        (
            {"errorMessage": "2026-11-22T09:00:00Z 8f5a1e7c Task timed out after 3.00 seconds"},
            4,
            "run-incomplete",
            "The function was killed at its timeout: 2026-11-22T09:00:00Z",
        ),
        (
            {"errorType": "Runtime.ExitError", "errorMessage": "Error: signal: killed"},
            1,
            "function-failed",
            "The function ended with Runtime.ExitError, without a report: Error: signal: killed",
        ),
        (
            {
                "errorType": "Runtime.ImportModuleError",
                "errorMessage": "Unable to import module 'x': No module named 'y'",
            },
            1,
            "function-failed",
            "Unable to import module 'x': No module named 'y'",
        ),
        ({"errorType": "KeyError", "errorMessage": "'x'"}, 1, "function-failed", "ended with Key"),
        ({"errorMessage": '{"format": "other"}'}, 1, "function-failed", "an error without a name"),
        ("broken", 1, "function-failed", "an error without a name"),
        (None, 1, "function-failed", "an error without a name"),
    ],
)
def test_error_without_a_report_is_readable(
    run: Callable[..., Outcome],
    api: AwsApi,
    payload: Any,
    status: int,
    code: str,
    said: str,
) -> None:
    """A timeout, a crash and a broken package have different messages, each with a hint."""
    api.function = lambda _name, _payload: Invoked(payload, function_error="Unhandled")
    outcome = run("--json")
    error = outcome.report["error"]
    assert (status, code) == (outcome.status, error["code"])
    assert said in error["message"]
    assert error["hint"]


@pytest.mark.parametrize("payload", [None, "done", {"statusCode": 200}, [], {"format": "x"}])
def test_result_that_is_not_a_report_is_an_error(
    run: Callable[..., Outcome], api: AwsApi, payload: Any
) -> None:
    """A result that is not a Lockgate report does not count as a success."""
    api.function = lambda _name, _payload: Invoked(payload)
    outcome = run()
    assert 1 == outcome.status
    assert "The function did not return a Lockgate report." in outcome.out


def refuse(
    status: int, error_type: str, asked: list[str], message: str = "No."
) -> Callable[[str, Any], Invoked]:
    """Return a function that Lambda refuses to invoke, every time."""

    def refuse(name: str, _payload: Any) -> Invoked:
        asked.append(name)
        return Invoked({"Message": message}, status=status, error_type=error_type)

    return refuse


NOT_STARTED = (
    "ResourceNotReadyException",
    "ENINotReadyException",
    "SnapStartNotReadyException",
    "EC2ThrottledException",
    "EC2UnexpectedException",
    "EC2AccessDeniedException",
    "SubnetIPAddressLimitReachedException",
    "ENILimitReachedException",
    "InvalidSecurityGroupIDException",
    "InvalidSubnetIDException",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
)


@pytest.mark.parametrize("error_type", NOT_STARTED)
def test_function_that_has_not_started_is_waited_for(
    run: Callable[..., Outcome],
    api: AwsApi,
    stub: Behind,
    monkeypatch: pytest.MonkeyPatch,
    error_type: str,
) -> None:
    """The command prints once that the function has not run, and invokes it again."""
    slept: list[float] = []
    monkeypatch.setattr("lockgate.terminal.invoke_command.time.sleep", slept.append)
    asked: list[str] = []
    not_yet = refuse(502, error_type, asked)

    def answer(name: str, payload: Any) -> Invoked:
        return not_yet(name, payload) if len(asked) < 3 else stub(name, payload)

    api.function = answer
    outcome = run()
    assert (0, [10, 10, 10]) == (outcome.status, slept)
    said = f"The function has not run yet ({error_type}); invoking again for up to 5 minutes."
    assert 1 == outcome.err.count(said)


def test_function_that_does_not_start_is_given_up(
    run: Callable[..., Outcome], api: AwsApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five minutes the command gives up, without claiming that the state is unknown."""
    slept: list[float] = []
    monkeypatch.setattr("lockgate.terminal.invoke_command.time.sleep", slept.append)
    api.function = refuse(502, "ResourceNotReadyException", [])
    outcome = run("--json")
    assert (3, "function-busy", 300) == (
        outcome.status,
        outcome.report["error"]["code"],
        sum(slept),
    )
    assert "not known" not in outcome.report["error"]["message"]


@pytest.mark.parametrize(
    ("http_status", "error_type", "status", "code", "said"),
    [
        (404, "ResourceNotFoundException", 2, "request-invalid", "there is no such function"),
        (403, "AccessDeniedException", 1, "credentials-rejected", "this role may not do that"),
        (
            403,
            "ExpiredTokenException",
            1,
            "credentials-rejected",
            "AWS does not accept the credentials of this process",
        ),
        (
            429,
            "TooManyRequestsException",
            3,
            "function-busy",
            "it has reached its limit of concurrent invocations",
        ),
        (409, "ResourceConflictException", 3, "function-busy", "it is being deployed"),
        (400, "ValidationException", 2, "request-invalid", "that is not a valid function name"),
    ],
)
def test_function_that_cannot_be_invoked_is_readable(
    run: Callable[..., Outcome],
    api: AwsApi,
    http_status: int,
    error_type: str,
    status: int,
    code: str,
    said: str,
) -> None:
    """Each refusal of AWS has its own sentence, and nothing is sent twice."""
    asked: list[str] = []
    api.function = refuse(http_status, error_type, asked)
    outcome = run("--json")
    error = outcome.report["error"]
    expected = (
        f"Function shop-Migrate cannot be invoked: {said} ({error_type}). Nothing was changed."
    )
    assert (status, code, expected, 1) == (
        outcome.status,
        error["code"],
        error["message"],
        len(asked),
    )


@pytest.mark.parametrize(
    ("http_status", "error_type", "named"),
    [(500, "ServiceException", "ServiceException"), (0, "", "ConnectionClosedError")],
)
def test_missing_answer_is_reported_as_such(
    run: Callable[..., Outcome], api: AwsApi, http_status: int, error_type: str, named: str
) -> None:
    """If the answer is lost, the state is reported as unknown and the function is not called again."""
    asked: list[str] = []
    api.function = refuse(http_status, error_type, asked)
    outcome = run("--json")
    error = outcome.report["error"]
    assert (1, "function-failed", 1) == (outcome.status, error["code"], len(asked))
    assert (
        f"Function shop-Migrate was invoked, but its response did not arrive ({named})."
        " The state of the database is unknown: the function was invoked and returned no report."
    ) == error["message"]


def test_hint_names_what_is_missing(run: Callable[..., Outcome], api: AwsApi) -> None:
    """AWS's own message, which names user and permission, is passed on."""
    api.function = refuse(403, "AccessDeniedException", [], "User ada is not authorized.")
    out = " ".join(run().out.split())
    assert "Allow lambda:InvokeFunction in the role's policy" in out
    assert "AWS says: User ada is not authorized." in out


def test_lambda_that_cannot_be_reached_is_readable(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong endpoint or network is reported, and nothing was run."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")
    outcome = run()
    assert 1 == outcome.status
    assert "Lambda cannot be reached (EndpointConnectionError). Nothing was changed." in outcome.out


@pytest.mark.parametrize(
    ("unset", "said"),
    [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "has no AWS credentials"),
        (("AWS_DEFAULT_REGION",), "no region is set (NoRegionError)"),
    ],
)
def test_environment_that_lacks_something_is_readable(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, unset: tuple[str, ...], said: str
) -> None:
    """Missing credentials or a missing region is named, with the way to set it."""
    for name in unset:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    outcome = run()
    assert 1 == outcome.status
    assert said in " ".join(outcome.out.split())


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("shop-Migrate", [], "eu-west-1"),
        ("shop-Migrate", ["--region", "us-east-1"], "us-east-1"),
        (ARN, [], "eu-central-1"),
        (f"{ARN}:live", ["--region", "us-east-1"], "us-east-1"),
    ],
)
def test_region_is_the_options_the_arns_or_the_environments(
    run: Callable[..., Outcome],
    stub: Behind,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    arguments: list[str],
    expected: str,
) -> None:
    """An option takes precedence over the ARN, and the ARN over the environment."""
    regions: list[str | None] = []
    make = remote_function.RemoteFunction._make_client

    def spy(self: remote_function.RemoteFunction) -> Any:
        client = make(self)
        regions.append(client.meta.region_name)
        return client

    monkeypatch.setattr(remote_function.RemoteFunction, "_make_client", spy)
    run("--action", "status", *arguments, name=name)
    assert ([expected], name) == (regions, stub.asked[0][0])


def test_profile_is_taken_from_the_configuration(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, stub: Behind, tmp_path: Path
) -> None:
    """A profile provides credentials and region, and a missing profile is named."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    config = tmp_path / "config"
    config.write_text(
        "[profile shop]\nregion = eu-west-3\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    assert 0 == run("--profile", "shop", "--action", "status").status
    assert 1 == len(stub.asked)
    assert "no such profile (ProfileNotFound)" in run("--profile", "other").out


# The connection.


def test_connection_is_patient_and_kept_alive(
    run: Callable[..., Outcome], stub: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read timeout exceeds the longest invocation, and keep-alive holds the connection open."""
    seen: list[dict[str, Any]] = []

    class Session(URLLib3Session):
        def __init__(self, **options: Any) -> None:
            seen.append(options)
            super().__init__(**options)

    monkeypatch.setattr(remote_function, "URLLib3Session", Session)
    run("--action", "status")
    assert 1 == len(stub.asked)
    (options,) = seen
    assert (10, 960) == options["timeout"]
    assert {} == options["proxies"]
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in options["socket_options"]
    if sys.platform == "linux":
        assert (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60) in options["socket_options"]


def test_certificate_has_to_verify(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is sent to a server without a trusted certificate; AWS_CA_BUNDLE sets the trust."""
    made = make_certificates(now=datetime.now(UTC))
    for name in ("authority", "server", "server_key"):
        (tmp_path / name).write_bytes(getattr(made, name))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server", tmp_path / "server_key")
    stub = Behind(lambda _: Report(Status.UP_TO_DATE, Action.UP, "run-1").to_json())
    with AwsApi(stub, context) as api:
        for name, value in api.environment.items():
            monkeypatch.setenv(name, value)
        distrusted = run()
        assert (1, []) == (distrusted.status, stub.asked)
        assert "Lambda cannot be reached (SSLError). Nothing was changed." in distrusted.out
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "authority"))
        assert (0, 1) == (run().status, len(stub.asked))


def test_ctrl_c_stops_the_waiting_and_not_the_run(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C leaves the function running, and the terminal says how to look at it."""

    def interrupt(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(remote_function.RemoteFunction, "invoke", interrupt)
    outcome = run()
    assert (130, "") == (outcome.status, outcome.out)
    assert "The function continues; look with lockgate invoke shop-Migrate --action status.\n" in (
        outcome.err
    )


def test_defect_is_one_sentence_and_a_traceback_on_demand(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error exits with 1, and only --debug shows the traceback."""

    def fail(*_: object) -> Any:
        raise ZeroDivisionError("hush")

    monkeypatch.setattr(remote_function.RemoteFunction, "invoke", fail)
    outcome, debugged = run(), run("--debug")
    assert (1, "") == (outcome.status, outcome.err)
    assert "An unexpected ZeroDivisionError ended the run." in outcome.out
    assert "hush" not in outcome.out
    assert "ZeroDivisionError: hush" in debugged.err


def test_slow_answer_is_waited_for(run: Callable[..., Outcome], stub: Behind) -> None:
    """While the function works, nothing is sent a second time."""
    gate, answer = threading.Event(), stub.handle

    def wait(payload: Any) -> Any:
        gate.wait()
        return answer(payload)

    def open_gate() -> None:
        wait_until(lambda: stub.asked, "a call")
        gate.set()

    stub.handle = wait
    opening = Background.start(open_gate)
    assert (0, 1) == (run("--action", "status").status, len(stub.asked))
    opening.result()
