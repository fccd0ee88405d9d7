"""A run that a test advances message by message."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from tests.support.disturbed import through
from tests.support.project import CALLER
from tests.support.proxy import Link, Proxy

from lockgate.core.deadline import Deadline
from lockgate.core.request import Action, Request

if TYPE_CHECKING:
    from types import TracebackType

    from tests.support.project import Project

    from lockgate.report.report import Report

_STEP_SECONDS = 0.1


class SteppedRun:
    """An up in its own thread, held before each of its messages until `step` lets it continue."""

    def __init__(self, project: Project) -> None:
        self.report: Report | None = None
        self.link: Link | None = None
        self.deadline = Deadline(lambda: 600_000, 1_000)
        self._project = project
        self._passes = threading.Semaphore(0)
        self._arrived = threading.Event()
        self._is_free = False
        server = project.database.server
        self._proxy = Proxy(server.host, server.port, gate=self._hold)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._proxy.__enter__()
        self._thread.start()
        self._await()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.let_go()
        self._thread.join(timeout=60)
        self._proxy.__exit__(kind, error, trace)

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return not self._thread.is_alive()

    def step(self, count: int) -> None:
        """Let this many messages pass, or fewer if the run ends or waits for something else."""
        for _ in range(count):
            self._arrived.clear()
            self._passes.release()
            self._await()

    def let_go(self) -> None:
        """Stop holding messages."""
        self._is_free = True
        self._passes.release(1_000)

    def join(self) -> Report:
        """Let the run end and return its report."""
        self.let_go()
        self._thread.join(timeout=60)
        assert self.report is not None
        return self.report

    def _await(self) -> None:
        self._arrived.wait(_STEP_SECONDS)

    def _hold(self, link: Link) -> None:
        self.link = link
        self._arrived.set()
        if not self._is_free:
            self._passes.acquire()

    def _run(self) -> None:
        runner = self._project.runner(
            deadline=self.deadline, **through(self._project, self._proxy), LOCKGATE_LOCK_WAIT="60s"
        )
        self.report = runner.run(Request(Action.UP, CALLER))
        self._arrived.set()
