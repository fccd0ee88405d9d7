"""Run commands that must end soon and without an unexpected error."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.terminal.cli import main
from lockgate.terminal.conclude import EXIT_STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Far longer than any of these commands takes.
MOST_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a command: its status, its output, and its report if it printed one."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any] | None:
        """The report, or None."""
        return json.loads(self.out) if self.out.startswith("{") else None

    @property
    def code(self) -> str | None:
        """The code of the report's error, or None."""
        # The result of a check has a list of problems instead.
        error = None if self.report is None else self.report.get("error")
        return None if error is None else error["code"]


@pytest.fixture
def hurry() -> Iterator[None]:
    """Interrupt a test that hangs."""

    def end(_number: int, _frame: object) -> None:
        raise AssertionError(f"it did not end in {MOST_SECONDS} s")

    former = signal.signal(signal.SIGALRM, end)
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


@pytest.fixture
def end_readably(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, hurry: None
) -> Callable[..., Ending]:
    """Give a function that runs a command and fails if it ends with an unexpected error."""
    del hurry

    def run(*arguments: str, environment: Mapping[str, str] | None = None) -> Ending:
        with monkeypatch.context() as patched:
            for name, value in (environment or {}).items():
                patched.setenv(name, value)
            try:
                status = main(arguments)
            except SystemExit as end:
                status = int(end.code or 0)
        captured = capsys.readouterr()
        ending = Ending(status, captured.out, captured.err)
        assert ending.status in EXIT_STATUSES.values()
        assert "Traceback" not in captured.out + captured.err
        assert "unexpected-failure" not in captured.out + captured.err, captured.out
        assert ending.code != "unexpected-failure"
        return ending

    return run
