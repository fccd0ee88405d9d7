"""A pytest plugin that prints skipped tests and files: one line for each reason.

pytest's own list has a line for each place in the code. Under xdist it omits files that are skipped
during collection, so each worker sends its own to the controller when it ends.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _pytest.terminal import TerminalReporter

_KEY = "skipped files"


class _Node(Protocol):
    workeroutput: dict[str, dict[str, str]]


def get_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the reason why a test or a file was skipped."""
    skip = report.longrepr
    text = str(skip[2] if isinstance(skip, tuple) else skip)
    return text.removeprefix("Skipped: ")


def make_lines(tests: Iterable[str], files: Iterable[str]) -> list[str]:
    """Return a line for each reason, the most frequent first, from one reason per test or file."""
    counts = Counter(
        [(reason, "test") for reason in tests] + [(reason, "file") for reason in files]
    )
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [
        f"{count:5} {kind if count == 1 else kind + 's'}: {reason}"
        for (reason, kind), count in ordered
    ]


class Skips:
    """Collects the files that are skipped as a whole, here and in the workers of xdist."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a skipped file."""
        if report.skipped:
            self._files[report.nodeid] = get_reason(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Send the files to the controller, if this is a worker."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_KEY] = self._files

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: _Node) -> None:
        """Receive the files from a worker; every worker collects the same ones."""
        self._files |= getattr(node, "workeroutput", {}).get(_KEY, {})

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Print the summary, if anything was skipped."""
        reports = terminalreporter.stats.get("skipped", [])
        tests = [get_reason(one) for one in reports if isinstance(one, pytest.TestReport)]
        lines = make_lines(tests, self._files.values())
        if lines:
            terminalreporter.section("skipped, and why", "-")
            for line in lines:
                terminalreporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin."""
    config.pluginmanager.register(Skips())
