"""Check whether a failed run's claim about the database is true, independently of Lockgate's own code.

Contents are read with pg_dump and psql: schema and rows of every schema except the excluded one, plus
what pg_dump omits: invalid indexes and incomplete detaches.
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

# Lines that differ between dumps, and sequence positions: nextval is never rolled back.
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
    """The expected contents: ``states[n]`` after n migrations.

    ``start`` is the number applied before the run. With ``query``, only its rows are compared.
    """

    states: Sequence[str]
    start: int = 0
    may_be: frozenset[str] = CLAIMING_NOTHING
    query: str | None = None

    def check(self, report: Report, database: Database, where: str = "") -> None:
        """Compare a failed run's claim, if it makes one, with the contents."""
        if report.error is None:
            return
        said = json.loads(report.to_text())
        is_claim = said["error"]["state_after"] not in CLAIMING_NOTHING
        after = read_contents(database, query=self.query) if is_claim else ""
        problem = find_false_claim(said, self.states, self.start, after, self.may_be)
        assert problem is None, f"{where}: {problem}. {report.error.message}"


def read_contents(database: Database, without: str = "lockgate", query: str | None = None) -> str:
    """Return schema and rows, or a query's rows, as text that is equal for equal contents."""
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

    ``states[n]`` are the contents after n migrations; ``start`` is the number applied before the run;
    ``may_be`` are the states without a claim that are allowed here.
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
