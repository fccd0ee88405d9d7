"""Reads a folder of sqlx: ``VERSION_description.sql``, or ``.up.sql`` with ``.down.sql``.

Migrations run in the order of their numbers. A file that begins with ``-- no-transaction`` runs outside
of a transaction.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from lockgate.core.marker import has_marker
from lockgate.core.migration import Version
from lockgate.core.try_each import try_each
from lockgate.formats.shared.folder import read_text
from lockgate.formats.shared.scripts import (
    PROGRAMS,
    PairedFile,
    catalog_by_number,
    down_alone,
    list_names,
    make_script,
    make_versioned,
    pair_files,
    unusable_file,
    with_stub,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration, Script
    from lockgate.formats.shared.scripts import Pair

_NO_TRANSACTION = "-- no-transaction"
_VERSION = re.compile(r"[0-9]+")
_HIGHEST = 2**63 - 1
# The comment that `sqlx migrate add` writes into a new file.
_OWN_SIGN = re.compile(
    rf"{_NO_TRANSACTION}|^-- Add (?:up |down )?migration script here$", re.MULTILINE
)
# Comments of other tools whose files have the same kind of names.
_OTHER_TOOLS = re.compile(
    r"^[ \t]*--[ \t]*(?:\+|migrate:|!|depends:)", re.MULTILINE | re.IGNORECASE
)
_TABLE = "_sqlx_migrations"
_TABLE_SQL = """\
CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version bigint PRIMARY KEY,
    description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT now(),
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
)"""


def recognise(folder: Path) -> str | None:
    """Return the sign: sqlx's own comment, or numbers without any tool's markers."""
    names = list_names(folder)
    numbered = [name for name in names if _VERSION.fullmatch(name.partition("_")[0])]
    if not names or numbered != names or list_names(folder, PROGRAMS):
        return None
    if any(_is_of_another_tool(read_text(folder, name)) for name in names):
        return None
    if has_own_sign(folder):
        return f"comments of sqlx in files such as {names[0]}"
    return f"numbered files without markers, such as {names[0]}"


def has_own_sign(folder: Path) -> bool:
    """Return whether a file has a comment that only sqlx writes or reads."""
    return _has_sign(folder, _OWN_SIGN)


def _is_of_another_tool(text: str) -> bool:
    return has_marker(text) or _OTHER_TOOLS.search(text) is not None


def _has_sign(folder: Path, sign: re.Pattern[str]) -> bool:
    return any(sign.search(read_text(folder, name)) for name in list_names(folder))


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration of the folder; subfolders are ignored.

    Raises:
        MigrationFileInvalid: a name has no number before its first underscore, a down file has no up
            file, two files share a version, or there is no migration.
    """
    del variables  # sqlx has no variables
    files = try_each(list_names(folder), _read_name)
    pairs = pair_files([file for file in files if file is not None])
    migrations = try_each(pairs, partial(_read_migration, folder))
    return with_stub(catalog_by_number(migrations, folder), _TABLE, _TABLE_SQL)


def _read_name(name: str) -> PairedFile | None:
    """Parse a name like sqlx: it ignores a name without underscore, and refuses one without number."""
    number, underscore, rest = name.partition("_")
    if not underscore or not rest.endswith(".sql"):
        return None
    if _VERSION.fullmatch(number) is None or int(number) > _HIGHEST:
        raise unusable_file(
            name,
            "has no number before its first underscore",
            "Name it VERSION_description.sql, or move it out of the migrations folder.",
        )
    is_down = rest.endswith(".down.sql")
    description = rest.removesuffix(".sql").removesuffix(".down").removesuffix(".up")
    return PairedFile(number, description, name, is_up=not is_down)


def _read_migration(folder: Path, pair: Pair) -> Migration:
    if pair.up is None:
        raise down_alone(pair.down or "", f"{pair.version}_{pair.name}.up.sql")
    down = None if pair.down is None else _read_script(folder, pair.down)
    return make_versioned(
        Version.parse(pair.version), pair.name, _read_script(folder, pair.up), down
    )


def _read_script(folder: Path, path: str) -> Script:
    text = read_text(folder, path)
    is_outside = text.startswith(_NO_TRANSACTION)
    return make_script(text, path, transaction=False if is_outside else None)
