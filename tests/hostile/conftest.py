"""A command that must end by itself, soon, and in words of its own."""

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

# Far more than any of it takes; what hangs is ended by it.
MOST_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended: its status, what it wrote, and its report if it printed one."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any] | None:
        """The report, if there is one."""
        return json.loads(self.out) if self.out.startswith("{") else None

    @property
    def code(self) -> str | None:
        """The code of the report's error."""
        error = None if self.report is None else self.report["error"]
        return None if error is None else error["code"]


@pytest.fixture
def hurry() -> Iterator[None]:
    """End what hangs with an exception."""

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
    """Give what runs a command in an environment, and fails unless it ends in words of its own."""
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
