"""A new migration file in the native format. Knows names, versions and templates; applies nothing.

What it writes works as it is: an ``up`` right after it succeeds, and changes nothing but the history.
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
-- This part runs in one transaction, with the record that it was applied. What PostgreSQL forbids
-- there, such as CREATE INDEX CONCURRENTLY, goes alone in a file of its own.
-- If the migration can be undone, add below it a line that says "-- migrate:down", and the statements.

"""

_REPEATABLE = """\
-- Runs after the versioned migrations, and again whenever this text changes: write it so that it can,
-- as CREATE OR REPLACE does.

"""

_PYTHON = '''\
"""Say here what this migration does, and why it is not SQL."""

import sqlalchemy as sa


def up(connection: sa.Connection) -> None:
    """Change the data; the connection is inside the run's transaction, which is not yours to end."""
    # If that can be undone, define down(connection) below, with what brings the data back.
'''


class Flavour(StrEnum):
    """What kind of file is written."""

    SQL = "sql"
    PYTHON = "python"
    REPEATABLE = "repeatable"


_TEMPLATES = {Flavour.SQL: _SQL, Flavour.PYTHON: _PYTHON, Flavour.REPEATABLE: _REPEATABLE}


def write_migration(folder: Path, name: str, flavour: Flavour, now: datetime) -> Path:
    """Write a file from its template and return its path; make the folder if it is missing.

    Raises:
        RequestInvalid: the name has no letter or digit, or the file exists already.
    """
    slug = make_slug(name)
    if flavour is Flavour.REPEATABLE:
        path = folder / f"R__{slug}.sql"
    else:
        suffix = "py" if flavour is Flavour.PYTHON else "sql"
        path = folder / f"{next_version(folder, now)}_{slug}.{suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # "x", so that no file of anybody is ever written over.
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
    """Return a name fit for a file: ``Add users' e-mail`` is ``add_users_e_mail``.

    Raises:
        RequestInvalid: nothing is left of it, or too much.
    """
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = "_".join(re.findall(r"[a-z0-9]+", ascii_name.lower().replace("'", "")))
    if not 0 < len(slug) <= _MAX_NAME:
        raise RequestInvalid(
            f"The name needs 1 to {_MAX_NAME} letters or digits of ASCII.",
            hint="Say what the migration does: lockgate new add_email_to_customers",
        )
    return slug


def _list_versions(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        named = _VERSIONED.fullmatch(path.name)
        if named is not None:
            yield int(named[1])
