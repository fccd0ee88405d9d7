"""A project's folder of migrations and database, and runs of Lockgate on them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.engine import make_engine
from tests.support.waiting import LONGEST_SECONDS, Background

from lockgate.core.deadline import Deadline
from lockgate.core.request import Action, Caller, Request
from lockgate.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.database import Database

    from lockgate.engine.run import Runner
    from lockgate.report.report import Report

CALLER = Caller("test", {"case": "one"})


@dataclass(slots=True)
class Project:
    """One project. ``settings`` are further LOCKGATE_ variables; ``events`` were emitted by its runs.

    With ``has_product_default``, a first run on a database with tables is refused, as in the product.
    ``login`` is the ``(user, password)`` in `address`, by default the superuser.
    """

    folder: Path
    database: Database
    settings: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    login: tuple[str, str] | None = None
    has_product_default: bool = False

    def address(self, port: int | None = None) -> str:
        """Return the database's address, with another port if given."""
        database = self.database
        user, password = self.login or (database.user, database.password)
        place = f"{database.host}:{database.port if port is None else port}"
        return f"postgresql://{user}:{password}@{place}/{database.name}"

    def write(self, files: Mapping[str, str]) -> None:
        """Write migrations and their subfolders."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())

    def remove(self, name: str) -> None:
        """Remove a migration."""
        (self.folder / name).unlink()

    def read_settings(self, **overrides: str) -> Settings:
        """Return the settings that a run would have."""
        environment = {
            **self.database.environment,
            "LOCKGATE_MIGRATIONS": str(self.folder),
            # Far more than any machine needs; a test of these limits sets its own.
            "LOCKGATE_CONNECT_TIMEOUT": "60s",
            "LOCKGATE_CONNECT_BUDGET": "60s",
            # Many tests first create tables by hand. `has_product_default` tests the effect on a
            # first run.
            "LOCKGATE_FIRST_RUN": "" if self.has_product_default else "allow",
            **self.settings,
            **overrides,
        }
        return read_settings(environment)

    def runner(self, *, deadline: Deadline | None = None, **overrides: str) -> Runner:
        """Return a runner that has not run yet."""
        settings = self.read_settings(**overrides)
        return make_engine(
            settings,
            deadline=deadline or Deadline(None, settings.reserve_ms),
            emit=lambda name, **fields: self.events.append((name, fields)),
        )

    def run(
        self,
        action: Action = Action.UP,
        *,
        target: str | None = None,
        deadline: Deadline | None = None,
        **overrides: str,
    ) -> Report:
        """Run one request to its end."""
        request = Request(action, CALLER, target=target)
        return self.runner(deadline=deadline, **overrides).run(request)

    def do(self, action: Action, *, deadline: Deadline | None = None, **given: Any) -> Report:
        """Carry out any request: upper-case arguments are settings, lower-case ones request fields."""
        settings = {name: value for name, value in given.items() if name.isupper()}
        fields = {name: value for name, value in given.items() if not name.isupper()}
        request = Request(action, CALLER, **fields)
        return self.runner(deadline=deadline, **settings).run(request)

    def run_at_once(self, count: int) -> list[Report]:
        """Run several ups at the same time and return their reports."""
        barrier = threading.Barrier(count)

        def run() -> Report:
            barrier.wait(LONGEST_SECONDS)
            return self.run()

        running = [Background.start(run) for _ in range(count)]
        return [one.result() for one in running]

    def emitted(self, name: str) -> list[dict[str, Any]]:
        """Return the fields of every event of that name."""
        return [fields for event, fields in self.events if event == name]

    def history(self) -> list[tuple[str, str]]:
        """Return id and state of every history row, read without Lockgate."""
        rows = self.database.run(
            "SELECT migration_id, state FROM lockgate.migration_history ORDER BY migration_id"
        )
        return [(row[0], row[1]) for row in rows]

    def runs(self) -> list[str]:
        """Return the status of every recorded run, oldest first."""
        rows = self.database.run("SELECT status FROM lockgate.migration_run ORDER BY token")
        return [row[0] for row in rows]

    def lock_owner(self) -> str | None:
        """Return the lock's holder."""
        owner: str | None = self.database.run("SELECT owner FROM lockgate.migration_lock")[0][0]
        return owner
