"""Fixtures for every test: a real PostgreSQL, and a new database on it.

One process runs against one PostgreSQL. ``--postgres-root=DIR``, or the first folder in
``LOCKGATE_TEST_POSTGRES_ROOTS``, selects another one than the installed one. Every test that uses the
server gets the marker ``sql``, so repeat ``-m "sql and not one_major"`` on other major versions: a test
marked ``one_major`` has the same result on all of them. A test that compares with another migration tool
gets the marker ``peer``.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import HealthCheck, settings
from tests.support.database import Database, running_server, temporary_database
from tests.support.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.terminal import TerminalReporter

    from lockgate.local.server import EmbeddedServer

# Prints skipped tests and their reasons, one line for each reason.
pytest_plugins = ["tests.support.skips"]

ROOTS_VARIABLE = "LOCKGATE_TEST_POSTGRES_ROOTS"
# What a test needs besides Python: a server, or another migration tool.
MARKERS = {"sql": "postgres_root", "peer": "peers"}


class MakeDatabase(Protocol):
    """A function that creates databases."""

    def __call__(self) -> Database:
        """Return another database, dropped when the test ends."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --postgres-root."""
    parser.addoption(
        "--postgres-root",
        type=Path,
        default=None,
        help=f"folder of the PostgreSQL to test with; default: the first of ${ROOTS_VARIABLE}, "
        "else the installed one",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and disable Hypothesis's time limits for slow machines."""
    for name, fixture in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: uses the fixture {fixture} (put on by itself)")
    config.addinivalue_line("markers", "one_major: would tell nothing on another major version")
    settings.register_profile(
        "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any-machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test by the fixtures that it uses, directly or indirectly."""
    for item in items:
        used = getattr(item, "fixturenames", ())
        for name, fixture in MARKERS.items():
            if fixture in used:
                item.add_marker(name)
    _share_out_faults(items)


def _share_out_faults(items: list[pytest.Item]) -> None:
    """Start every worker with its share of the tests that take minutes, so that none ends with them.

    Each worker first runs its own part of the list, and then takes tests from others.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if "faults" in item.path.parts]
    others = [item for item in items if "faults" not in item.path.parts]
    size = -(-len(others) // workers)
    items[:] = [
        item
        for worker in range(workers)
        for item in (*slow[worker::workers], *others[worker * size : (worker + 1) * size])
    ]


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the totals that the fault tests recorded."""
    totals: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name in {"points", "interleavings"}:
                totals[name] += int(value)
    if totals:
        covered = ", ".join(f"{count} {name}" for name, count in sorted(totals.items()))
        terminalreporter.write_line(f"faults covered: {covered}")


@pytest.fixture(scope="session")
def postgres_root(request: pytest.FixtureRequest) -> Path | None:
    """Give the folder of the PostgreSQL to test with, or None for the installed one."""
    chosen: Path | None = request.config.getoption("--postgres-root")
    if chosen is not None:
        return chosen.resolve()
    first = os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep)[0]
    return Path(first).resolve() if first else None


@pytest.fixture(scope="session")
def server(postgres_root: Path | None) -> Iterator[EmbeddedServer]:
    """Give one running server per test process; do not stop it or change its settings."""
    with running_server(postgres_root) as running:
        yield running


@pytest.fixture
def make_database(server: EmbeddedServer) -> Iterator[MakeDatabase]:
    """Give a function that creates databases, for a test that needs several."""
    with ExitStack() as stack:

        def make() -> Database:
            return stack.enter_context(temporary_database(server))

        yield make


@pytest.fixture
def database(server: EmbeddedServer) -> Iterator[Database]:
    """Give a new, empty database that is dropped when the test ends."""
    with temporary_database(server) as fresh:
        yield fresh


@pytest.fixture
def project(database: Database, tmp_path: Path) -> Project:
    """Give a project with an empty folder of migrations and a new database."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    return Project(folder, database)
