"""The floors, minimal scripts: psql with all migrations in one file, and a bare script with pg8000.

psql gets the pending migrations in advance; the script reads a table of versions. A tool that guarantees
more has to do more.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peer import Command, Kind, Peer, Target, Tools, write_new

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.workload import Change

_SCRIPT = Path(__file__).parents[1] / "bare_pg8000.py"
_TABLE = "CREATE TABLE IF NOT EXISTS schema_migrations (version text PRIMARY KEY);\n"
_SEEN = "SELECT max(version) FROM schema_migrations;\n"


def find_psql(tools: Tools) -> Path | None:
    """Return the server's own psql."""
    return tools.psql


def find_python(_tools: Tools) -> Path | None:
    """Return the interpreter that runs Lockgate too."""
    return Path(sys.executable)


def write_one_transaction(folder: Path, changes: Sequence[Change], applied: int) -> None:
    """Write one file with all pending migrations."""
    _write_file(folder, [_with_record(change) for change in changes[applied:]])


def write_each(folder: Path, changes: Sequence[Change], applied: int) -> None:
    """Write one file with all pending migrations, each between BEGIN and COMMIT."""
    texts = [f"BEGIN;\n{_with_record(change)}COMMIT;\n" for change in changes[applied:]]
    _write_file(folder, texts)


def _with_record(change: Change) -> str:
    return f"{change.up}INSERT INTO schema_migrations (version) VALUES ('{change.version}');\n"


def _write_file(folder: Path, texts: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pending.sql").write_text("".join([_TABLE, _SEEN, *texts]))


def start_psql(*options: str) -> Callable[[Path, Path, Target], Command]:
    """Return the command that runs that file."""

    def start(program: Path, _folder: Path, _target: Target) -> Command:
        argv = (str(program), "-X", "-q", "-v", "ON_ERROR_STOP=1", *options, "-f", "pending.sql")
        return Command(argv)

    return start


def write_files(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write a file for each migration."""
    for change in changes:
        write_new(folder / "migrations" / f"{change.version}_{change.name}.sql", change.up)


def start_pg8000(count: int) -> Callable[[Path, Path, Target], Command]:
    """Return the command that runs the script with ``count`` migrations per message."""

    def start(program: Path, _folder: Path, _target: Target) -> Command:
        return Command((str(program), str(_SCRIPT), "migrations", str(count)))

    return start


FLOORS = (
    Peer("psql-1", Kind.FLOOR, find_psql, write_one_transaction, start_psql("-1"), most=10_000),
    Peer("psql-each", Kind.FLOOR, find_psql, write_each, start_psql(), most=10_000),
    Peer("pg8000-each", Kind.FLOOR, find_python, write_files, start_pg8000(1), most=10_000),
    Peer("pg8000-100", Kind.FLOOR, find_python, write_files, start_pg8000(100), most=10_000),
)
