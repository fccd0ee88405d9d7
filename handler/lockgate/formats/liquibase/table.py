"""Reads Liquibase's tables ``databasechangelog`` and its lock, and computes both kinds of its MD5.

A changeset's identity is ``path::id::author``.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState, TableShape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration
    from lockgate.formats.tool import Ask

TABLE = "databasechangelog"
LOCK_TABLE = "databasechangeloglock"
# As Liquibase creates them on PostgreSQL.
TABLE_SQL = """
CREATE TABLE IF NOT EXISTS databasechangelog (
    id character varying(255) NOT NULL,
    author character varying(255) NOT NULL,
    filename character varying(255) NOT NULL,
    dateexecuted timestamp without time zone NOT NULL,
    orderexecuted integer NOT NULL,
    exectype character varying(10) NOT NULL,
    md5sum character varying(35),
    description character varying(255),
    comments character varying(255),
    tag character varying(255),
    liquibase character varying(20),
    contexts character varying(255),
    labels character varying(255),
    deployment_id character varying(10)
);
CREATE TABLE IF NOT EXISTS databasechangeloglock (
    id integer NOT NULL,
    locked boolean NOT NULL,
    lockgranted timestamp without time zone,
    lockedby character varying(255),
    CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id)
)
"""

SHAPE = TableShape(
    TABLE,
    ("id", "author", "filename", "dateexecuted", "orderexecuted", "exectype", "md5sum"),
    has_any_name=True,
    beside=("databasechangeloglock",),
)
_READ = """
SELECT id, author, filename, dateexecuted::timestamptz, exectype, md5sum
  FROM {table}
 ORDER BY orderexecuted, dateexecuted
"""
_READ_LOCK = "SELECT lockedby, lockgranted::text FROM {table} WHERE locked"
_RAN = frozenset({"EXECUTED", "RERAN", "MARK_RAN"})
_SPACE = re.compile(r"[ \n\r\t]+")
_CHANGED = re.compile(r"\bendDelimiter:|^(?:go|/|;)|\$\w*\$", re.IGNORECASE | re.MULTILINE)
_VALID = re.compile(r"^--\s*validCheckSum:? (.*)$", re.IGNORECASE | re.MULTILINE)
RAW = ("raw", "includeAll")


def make_changeset_id(path: str, changeset_id: str, author: str) -> str:
    """Return a changeset's identity as Liquibase writes it, with a normalized path."""
    return f"{normalise_path(path)}::{changeset_id}::{author}"


def normalise_path(path: str) -> str:
    """Return a path as Liquibase compares it: no ``classpath:``, no backslash, no leading slash."""
    return re.sub(r"\A(?:classpath\*?:)?(?:\.?/)*", "", path.replace("\\", "/"))


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the changesets that ran; a problem if a run of Liquibase holds the lock."""
    rows = [_make_row(row) for row in ask(_READ.format(table=table))]
    known = {row.version: row for row in rows}
    return ForeignHistory(table, tuple(known.values()), problem=_find_lock(ask, table))


def _make_row(row: tuple[Any, ...]) -> ForeignRow:
    changeset_id, author, path, executed, kind, md5 = row
    state, detail = ForeignState.APPLIED, None
    if kind == "FAILED":
        state = ForeignState.FAILED
        detail = (
            "Liquibase recorded that it failed. Complete or remove its changes by hand, delete its row"
            " from databasechangelog, and adopt again."
        )
    elif kind not in _RAN:
        state = ForeignState.UNKNOWN
        detail = (
            f"Liquibase recorded it as {kind}. Run liquibase update to apply it, or delete its row from"
            " databasechangelog, and adopt again."
        )
    return ForeignRow(
        version=make_changeset_id(path, changeset_id, author),
        applied_at=executed,
        checksum=md5,
        state=state,
        detail=detail,
    )


def _find_lock(ask: Ask, table: str) -> str | None:
    lock_table = f"{table.rpartition('.')[0]}.{LOCK_TABLE}"
    quoted = lock_table.replace("'", "''")
    if not ask(f"SELECT 1 WHERE pg_catalog.to_regclass('{quoted}') IS NOT NULL"):
        return None
    held = ask(_READ_LOCK.format(table=lock_table))
    if not held:
        return None
    return (
        f"{held[0][0]} has held its lock since {held[0][1]}. If no run is left there, run: liquibase"
        " release-locks."
    )


def align(history: ForeignHistory, catalog: Catalog) -> ForeignHistory:
    """Return the history with the catalog's paths.

    Liquibase records paths relative to where it was started, the catalog relative to its own folder. If
    adding or removing the same prefix makes most paths known, the history is renamed so.
    """
    rename = _find_rename([row.version for row in history.rows], catalog.by_id)
    return replace(
        history, rows=tuple(replace(row, version=rename(row.version)) for row in history.rows)
    )


def _find_rename(ids: Iterable[str], known: Mapping[str, Migration]) -> Callable[[str], str]:
    longer = {rest: front for one in known for front, rest in _list_fronts(one)}
    fronts: Counter[tuple[str, str]] = Counter()
    for one in ids:
        if one not in known:
            fronts.update((front, "") for front, rest in _list_fronts(one) if rest in known)
            fronts.update([("", longer[one])] if one in longer else [])
    if not fronts:
        return lambda one: one
    cut, put = fronts.most_common(1)[0][0]

    def rename(one: str) -> str:
        renamed = put + one.removeprefix(cut)
        return renamed if one not in known and renamed in known else one

    return rename


def _list_fronts(version: str) -> Iterator[tuple[str, str]]:
    """Yield each prefix of folders in a version's path, and the rest."""
    path = version.partition("::")[0]
    for slash in re.finditer("/", path):
        yield version[: slash.end()], version[slash.end() :]


def matches_checksum(folder: Path, migration: Migration, checksum: str) -> bool:
    """Return whether a checksum of either kind is the file's, or accepted by its validCheckSum.

    True also if parameters were filled in and the checksum cannot be computed.
    """
    accepted = {found.strip().lower() for found in _VALID.findall(migration.up.text)}
    if accepted & {"any", "all", "*", "1:any", "1:all", "1:*", checksum.lower()}:
        return True
    is_older = checksum.startswith("8:")
    actual = _older_sum(migration) if is_older else file_checksum(folder, migration)
    return actual is None or actual == checksum


def file_checksum(folder: Path, migration: Migration) -> str | None:
    """Return the checksum of Liquibase 4.22 and later; ``None`` if it cannot be computed.

    ``folder`` is not read again: the scripts have their files' text.
    """
    del folder
    return _newer_sum(migration)


def _newer_sum(migration: Migration) -> str | None:
    sql = _sql_of(migration)
    return None if sql is None else _of_changeset("9", _SPACE.sub("", sql))


def _older_sum(migration: Migration) -> str | None:
    """Return the checksum of Liquibase before 4.22, which includes the changeset's attributes."""
    sql = _sql_of(migration)
    if sql is None:
        return None
    header = "" if _is_raw(migration) else migration.up.text.partition("\n")[0]
    default = "false" if _is_raw(migration) else "true"
    delimiter = _attribute(header, r"\bendDelimiter", r"\S*") or "null"
    split, strip = (
        "true" if (_attribute(header, name, r"\w+") or default).lower() == "true" else "false"
        for name in ("splitStatements", "stripComments")
    )
    if delimiter == "null" and not _is_raw(migration) and sql.endswith("\n/"):
        delimiter = "\n/$"
    return _of_changeset("8", f"{delimiter}:{split}:{strip}:{_SPACE.sub(' ', sql)}")


def _of_changeset(version: str, text: str) -> str:
    change = f"{version}:{_md5(text)}:"
    return f"{version}:{_md5(change)}"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _is_raw(migration: Migration) -> bool:
    return migration.migration_id.endswith(f"::{RAW[0]}::{RAW[1]}")


def _sql_of(migration: Migration) -> str | None:
    """Return a changeset's SQL without its first line, with parameters filled in and with comments.

    ``None`` if parameters were filled in and comments or delimiters may have been changed as well: then
    the text that Liquibase hashed is unknown.
    """
    script = migration.up
    text = script.text
    if script.hidden or (script.substituted is not None and "${" in text):
        text = script.sql
        if _CHANGED.search(text) is not None:
            return None
    if not _is_raw(migration):
        text = _VALID.sub("", text.partition("\n")[2])
    return text.strip("".join(map(chr, range(33))))


def _attribute(header: str, name: str, value: str) -> str | None:
    found = re.fullmatch(rf".*{name}:({value}).*", header, re.IGNORECASE)
    return None if found is None else found[1]
