"""Writes a new migration file in the native format, from a template.

An ``up`` right afterwards succeeds, and changes only the history.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

_VERSIONED = re.compile(r"([0-9]+)(?:_.*)?\.(?:sql|py)", re.DOTALL)
# A file system's limit is 255 bytes; version, prefix and suffix need some.
_MAX_NAME = 200

_SQL = """\
-- migrate:up
-- This part runs in one transaction, together with its record in the history. A statement that
-- PostgreSQL forbids there, such as CREATE INDEX CONCURRENTLY, needs a file of its own.
-- To make the migration reversible, add a line "-- migrate:down" below, and the statements.

"""

_REPEATABLE = """\
-- Runs after the versioned migrations, and again whenever this text changes. Make it safe to run twice,
-- for example with CREATE OR REPLACE.

"""

_PYTHON = '''\
"""Describe what this migration does, and why it is not SQL."""

import sqlalchemy as sa


def up(connection: sa.Connection) -> None:
    """Change the data. The connection is in the run's transaction: do not commit or roll back."""
    # To make it reversible, define down(connection) below.
'''


class Flavour(StrEnum):
    """The kind of file to write."""

    SQL = "sql"
    PYTHON = "python"
    REPEATABLE = "repeatable"


_TEMPLATES = {Flavour.SQL: _SQL, Flavour.PYTHON: _PYTHON, Flavour.REPEATABLE: _REPEATABLE}


def write_migration(folder: Path, name: str, flavour: Flavour, now: datetime) -> Path:
    """Write a file from its template and return its path; make the folder if it is missing.

    Raises:
        RequestInvalid: the name is empty, too long or has no letter or digit, or the file exists.
    """
    slug = make_slug(name)
    if flavour is Flavour.REPEATABLE:
        path = folder / f"R__{slug}.sql"
    else:
        suffix = "py" if flavour is Flavour.PYTHON else "sql"
        path = folder / f"{next_version(folder, now)}_{slug}.{suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # "x" never overwrites a file.
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(_TEMPLATES[flavour])
    except FileExistsError:
        raise RequestInvalid(
            f"{path} exists already.",
            hint="Edit that file, or choose another name.",
        ) from None
    except OSError as error:
        raise RequestInvalid(
            f"{path} cannot be written: {error.strerror}.",
            hint="Check the folder and its permissions, or name another with --dir.",
        ) from error
    return path


def next_version(folder: Path, now: datetime) -> str:
    """Return the UTC time as 20261122093000, or one more than the highest version on disk."""
    timestamp = int(now.strftime("%Y%m%d%H%M%S"))
    highest = max(_list_versions(folder), default=0)
    return str(max(timestamp, highest + 1))


def make_slug(name: str) -> str:
    """Return a name as part of a file name: ``Add users' e-mail`` becomes ``add_users_e_mail``.

    Raises:
        RequestInvalid: the result is empty or too long.
    """
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = "_".join(re.findall(r"[a-z0-9]+", ascii_name.lower().replace("'", "")))
    if not 0 < len(slug) <= _MAX_NAME:
        raise RequestInvalid(
            f"The name needs 1 to {_MAX_NAME} ASCII letters or digits.",
            hint="Name what the migration does: lockgate new add_email_to_customers",
        )
    return slug


def _list_versions(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        named = _VERSIONED.fullmatch(path.name)
        if named is not None:
            yield int(named[1])
