"""Whether what a failed run claims of the database is true. Knows no table and no code of Lockgate's.

The contents are read with pg_dump and psql, as anybody would: schema and rows of everything but the
schema that is left out, and what pg_dump passes over, broken indexes and detachings half done.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.database import Database

    from lockgate.report.report import Report

# What differs from one dump to the next, and where a sequence is: nextval is never taken back.
_NOISE = re.compile(r"^(--.*|\\(un)?restrict .*|SELECT pg_catalog\.setval.*|SET .*|)$")
_BROKEN = """
SELECT 'invalid index', i.indexrelid::regclass FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relnamespace::regnamespace::text NOT IN ('{without}', 'pg_toast')
UNION ALL SELECT 'detaching', inhrelid::regclass FROM pg_inherits WHERE inhdetachpending
ORDER BY 1, 2
"""
_WAIT = "60s"
CLAIMING_NOTHING = frozenset({"partly_applied", "unknown"})


@dataclass(frozen=True, slots=True)
class Claims:
    """What claims are compared with: ``states`` are the contents behind each number of migrations.

    ``start`` is how many there were before; ``query`` is for what to compare instead of everything.
    """

    states: Sequence[str]
    start: int = 0
    may_be: frozenset[str] = CLAIMING_NOTHING
    query: str | None = None

    def check(self, report: Report, database: Database, where: str = "") -> None:
        """Compare the claim of a run, if it failed and makes one, with what is there."""
        if report.error is None:
            return
        said = json.loads(report.to_text())
        is_claim = said["error"]["state_after"] not in CLAIMING_NOTHING
        after = read_contents(database, query=self.query) if is_claim else ""
        problem = find_false_claim(said, self.states, self.start, after, self.may_be)
        assert problem is None, f"{where}: {problem}. {report.error.message}"


def read_contents(database: Database, without: str = "lockgate", query: str | None = None) -> str:
    """Return schema and rows as text that is equal where the contents are; or the rows of a query."""
    if query is not None:
        return _run(database, "psql", "-XAtc", query)
    chosen = f"--exclude-schema={without}"
    dumped = _run(database, "pg_dump", "--no-comments", f"--lock-wait-timeout={_WAIT}", chosen)
    lines: list[str] = []
    rows: list[str] | None = None
    for line in dumped.splitlines():
        if rows is not None and line == "\\.":
            lines += sorted(rows)
            rows = None
        elif rows is not None:
            rows.append(line)
        elif line.startswith("COPY ") and line.endswith(" FROM stdin;"):
            rows = []
            lines.append(line)
        elif not _NOISE.match(line):
            lines.append(line)
    broken = _run(database, "psql", "-XAtc", _BROKEN.format(without=without))
    return "\n".join([*lines, *broken.splitlines()])


def find_false_claim(
    report: Mapping[str, Any], states: Sequence[str], start: int, after: str, may_be: frozenset[str]
) -> str | None:
    """Return what is false in a failed run's claim, or ``None``.

    ``states`` are the contents behind each number of migrations, ``start`` how many there were before;
    ``may_be`` are the states that claim nothing and may occur here.
    """
    error = report["error"]
    state = error["state_after"]
    if state in CLAIMING_NOTHING:
        return None if state in may_be else f"{state} is claimed where more is known"
    if state in {"unchanged", "rolled_back"}:
        return None if after == states[start] else f"{state} is claimed, and something changed"
    assert "kept" == state
    end = start + len(report["applied"]) - len(report["reverted"])
    end += 1 if report["recorded"] or report["forgotten"] else 0
    if end == start:
        return "kept is claimed, and nothing is listed as kept"
    return (
        None
        if after == states[end]
        else f"kept is claimed, and it differs: {_diff(states[end], after)}"
    )


def _diff(expected: str, found: str) -> str:
    return "\n".join(
        difflib.unified_diff(expected.splitlines(), found.splitlines(), lineterm="", n=1)
    )


def _run(database: Database, program: str, *arguments: str) -> str:
    path = database.server.binaries.find_program(program)
    assert path is not None, f"the tests need {program}"
    address = {
        "PGHOST": database.host,
        "PGPORT": str(database.port),
        "PGUSER": database.user,
        "PGPASSWORD": database.password,
        "PGDATABASE": database.name,
        "PGSSLMODE": "require",
    }
    done = subprocess.run(
        [path, *arguments],
        env={**os.environ, **address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout
