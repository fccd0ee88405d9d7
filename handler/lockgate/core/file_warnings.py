"""Warnings about files that a run does not refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.down_script import DownFlaw, find_down_flaw
from lockgate.core.history import State
from lockgate.core.unrecognized_marker import find_unrecognized_marker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lockgate.core.catalog import Catalog
    from lockgate.core.history import History
    from lockgate.core.migration import Migration

_MOST_NAMED = 10


def warn_of_downs(migrations: Iterable[Migration]) -> Iterator[str]:
    """Yield one sentence about down scripts that cannot undo their migration, if any."""
    yield from describe_flaws(find_flaws(migrations))


def find_flaws(migrations: Iterable[Migration]) -> tuple[DownFlaw, ...]:
    """Return the flaws of down scripts."""
    return tuple(flaw for m in migrations if (flaw := find_down_flaw(m)) is not None)


def describe_flaws(found: Sequence[DownFlaw]) -> Iterator[str]:
    """Yield one sentence about flaws of down scripts, if there are any."""
    if found:
        named = "; ".join(f"{one.migration.label}: {one.why}" for one in found[:_MOST_NAMED])
        more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        yield f"Cannot undo {named}{more}."


def warn_of_applied(catalog: Catalog, history: History) -> Iterator[str]:
    """Yield warnings about applied files that would be refused today, and about their down scripts."""
    rows = [row for row in history.rows if row.state is not State.PARTIAL]
    files = [catalog.by_id.get(row.migration_id) for row in rows]
    applied = [migration for migration in files if migration is not None]
    mistakes = [text for m in applied if (text := _find_mistake(m, catalog)) is not None]
    yield from mistakes[:_MOST_NAMED]
    if len(mistakes) > _MOST_NAMED:
        more = len(mistakes) - _MOST_NAMED
        yield f"The same is true of {more} more applied migration{'' if more == 1 else 's'}."
    yield from warn_of_downs(applied)


def _find_mistake(migration: Migration, catalog: Catalog) -> str | None:
    obstacle = migration.up.obstacle
    if obstacle is not None and obstacle.is_mistake:
        return _describe(migration, obstacle.why, obstacle.line)
    found = find_unrecognized_marker(migration, catalog.markers)
    return None if found is None else _describe(migration, found.why, found.line)


def _describe(migration: Migration, why: str, line: int) -> str:
    return (
        f"Migration {migration.label} was applied although its file {why}."
        f" {migration.path}:{line}. Check that the database contains what the file describes."
    )
