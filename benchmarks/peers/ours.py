"""Lockgate itself, from the benchmark's own environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.peer import Command, Kind, Peer, Target, Tools, write_new

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.workload import Change


def find(tools: Tools) -> Path | None:
    """Return the program `lockgate`."""
    return tools.find_ours("lockgate")


def write(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write the native format."""
    for change in changes:
        options = " transaction:false" if change.is_outside else ""
        text = f"-- migrate:up{options}\n{change.up}\n-- migrate:down\n{change.down}"
        write_new(folder / "migrations" / f"{change.version}_{change.name}.sql", text)


def start(program: Path, _folder: Path, target: Target) -> Command:
    """Apply with the default settings."""
    return Command((str(program), "up", "--database-url", target.url))


def start_each(program: Path, folder: Path, target: Target) -> Command:
    """Apply each migration in its own transaction, as on a database in use."""
    return Command(start(program, folder, target).argv, {"LOCKGATE_ATOMICITY": "migration"})


def start_check(program: Path, _folder: Path, target: Target) -> Command:
    """Read, split and classify everything, and show the plan."""
    return Command((str(program), "plan", "--quiet", "--database-url", target.url))


OURS = (
    Peer(
        "lockgate", Kind.OURS, find, write, start, most=10_000, check=start_check, goes_outside=True
    ),
    Peer("lockgate-each", Kind.OURS, find, write, start_each, most=10_000),
)
