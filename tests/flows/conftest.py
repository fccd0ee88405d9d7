"""The function of a project as its callers see it: real handler, real server, AWS on loopback."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.aws_api import AwsApi
from tests.support.hurry import LEFT_MS, LIVES_MS, hurried
from tests.support.lambda_context import LambdaContext, ManualClock
from tests.support.leftovers import check_nothing_is_left

from lockgate.awslambda import app
from lockgate.wiring import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.project import Project


@dataclass(slots=True)
class Function:
    """The handler with a project's settings in its environment, and everything it wrote."""

    project: Project
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    log_stream: io.StringIO = field(default_factory=io.StringIO)
    results: list[Any] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    def set(self, **variables: str) -> None:
        """Set environment variables."""
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def handle(self, event: Any, context: Any = None) -> Any:
        """Invoke the handler once and keep its result."""
        handler: Any = app.lambda_handler
        result = handler(event, context or LambdaContext())
        self.results.append(result)
        return result

    def handle_hurried(self, event: Any, _context: object = None) -> Any:
        """Invoke the handler once; its time runs out as soon as a statement sleeps."""
        return self.handle_passing(event, ManualClock(), LIVES_MS - LEFT_MS)

    def handle_passing(self, event: Any, clock: ManualClock, milliseconds: int) -> Any:
        """Invoke the handler once; the clock advances as soon as a statement sleeps."""
        context = LambdaContext(deadline_ms=clock.now_ms + LIVES_MS, clock=clock)
        with hurried(self.project, clock, milliseconds):
            return self.handle(event, context)

    def read_output(self) -> str:
        """Return everything written to standard output, standard error and the log."""
        captured = self.capture.readouterr()
        self.printed += [captured.out, captured.err]
        return "".join(self.printed) + self.log_stream.getvalue()

    def failures_measured(self) -> list[float]:
        """Return RunFailed of each invocation, as CloudWatch reads it."""
        lines = [line for line in self.read_output().splitlines() if '"_aws"' in line]
        return [json.loads(line)["RunFailed"][0] for line in lines]

    def recorded(self) -> list[Any]:
        """Return caller, reference, requester and reason of each run, oldest first."""
        return self.project.database.run(
            "SELECT caller, caller_reference, requested_by, reason FROM lockgate.migration_run"
            " ORDER BY token"
        )


@pytest.fixture
def api() -> Iterator[AwsApi]:
    """Return AWS on loopback."""
    with AwsApi() as running:
        yield running


@pytest.fixture
def function(
    project: Project,
    api: AwsApi,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Function]:
    """Return the function of an empty project, and check that nothing remains afterwards."""
    function = Function(project, monkeypatch, capfd)
    monkeypatch.setattr(app.logger.registered_handler, "stream", function.log_stream)
    function.set(
        **project.database.environment,
        **api.environment,
        LOCKGATE_MIGRATIONS=str(project.folder),
        LOCKGATE_CFN_LOOPBACK="true",
        LOCKGATE_ATOMICITY="migration",
        LOCKGATE_LOCK_WAIT="120s",
        LOCKGATE_CONNECT_BUDGET="0",
        LOCKGATE_BACKUP="off",
    )
    yield function
    check_nothing_is_left(project.database)
    written = function.read_output()
    assert project.database.password not in written
    assert "X-Amz-Signature" not in written


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the pauses between attempts."""
    monkeypatch.setattr(SystemClock, "sleep", lambda *_: None)
