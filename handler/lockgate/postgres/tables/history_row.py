"""The values that a run writes to one row of the history."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lockgate.core.migration import Kind, Language, Migration, Options, Script
from lockgate.core.token_checksum import find_token_checksum
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.history import State
    from lockgate.core.outcome import RowStamp

Row = dict[str, Any]

# Stored with the options: the stored script still contains its variables, not their values.
SUBSTITUTED = "substituted"


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """How far a migration outside a shared transaction has come; see `Applied` for the fields.

    ``attempt_facts`` is JSON.
    """

    state: State
    done: int
    total: int
    attempting: int | None = None
    done_checksum: str | None = None
    attempt_facts: str | None = None


def make_row(migration: Migration, stamp: RowStamp, progress: MigrationProgress) -> Row:
    """Return the row of a migration, without the time and the duration."""
    return {
        **row_texts(migration),
        "migration_id": migration.migration_id,
        "version": None if migration.version is None else migration.version.text,
        "kind": migration.kind,
        "state": progress.state,
        "statements_done": progress.done,
        "statements_total": progress.total,
        "attempting": progress.attempting,
        "attempted_oid": find_attempted_oid(progress),
        "attempt_facts": progress.attempt_facts and json.loads(progress.attempt_facts),
        "done_checksum": progress.done_checksum,
        "run_id": stamp.run_id,
        "token": stamp.token,
        "package_version": stamp.package_version,
    }


def find_attempted_oid(progress: MigrationProgress) -> int | None:
    """Return the oid from the facts of an attempt, which has a column of its own in older tables."""
    facts = json.loads(progress.attempt_facts or "{}")
    oid: int | None = facts.get("oid")
    return oid


def row_texts(migration: Migration) -> Row:
    """Return the columns that come from a migration's file."""
    up, down = migration.up, migration.down
    is_sql = up.language is Language.SQL
    return {
        "name": migration.name,
        "up_checksum": up.checksum,
        "up_token_checksum": find_token_checksum(up.text) if is_sql else None,
        "up_script": up.text if migration.kind is Kind.REPEATABLE else None,
        "down_checksum": None if down is None else down.checksum,
        # PostgreSQL cannot store a NUL in a text, and a script that contains one can never run.
        "down_script": None if down is None or "\0" in down.text else down.text,
        "down_options": None if down is None else _stored_options(down),
        "language": up.language,
    }


def _stored_options(down: Script) -> Row:
    options = {**_plain_options(down.options)}
    return options if down.substituted is None else {**options, SUBSTITUTED: True}


# Most migrations set no options.
@lru_cache(maxsize=100)
def _plain_options(options: Options) -> Row:
    plain: Row = json.loads(options.to_json())
    return plain
