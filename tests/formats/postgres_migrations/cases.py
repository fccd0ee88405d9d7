"""postgres-migrations: names, numbers, its comment, refusals, and the history with checksums."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from tests.formats.kit import (
    Adoption,
    Cases,
    History,
    NotRun,
    Place,
    Read,
    Recognised,
    Refused,
    Stub,
    Table,
)

from lockgate.core.transaction_mode import Mode
from lockgate.formats.tool import ForeignHistory, ForeignRow

OUTSIDE = "-- postgres-migrations disable-transaction\n"
CREATE = """
CREATE TABLE migrations (
    id integer PRIMARY KEY,
    name varchar(100) UNIQUE NOT NULL,
    hash varchar(40) NOT NULL,
    executed_at timestamp DEFAULT current_timestamp
);
SET timezone = 'UTC';
INSERT INTO migrations VALUES (0, 'create-migrations-table', 'x', '2024-01-01 00:00:00');
"""
AT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
FILES = {"0001-a.sql": "CREATE TABLE a ();", "0002-b.sql": "CREATE TABLE b ();"}


def insert(number: int, name: str, digest: str) -> str:
    """Return the statement that inserts a row as postgres-migrations does."""
    return (
        "INSERT INTO migrations (id, name, hash, executed_at)"
        f" VALUES ({number}, '{name}', '{digest}', '2024-01-02 03:04:05');"
    )


def digest_of(name: str, text: str) -> str:
    """Return postgres-migrations' checksum of a file, which covers its name."""
    return hashlib.sha1(f"{name}{text}".encode(), usedforsecurity=False).hexdigest()


CASES = Cases(
    "postgres-migrations",
    example={"0001-a.sql": "CREATE TABLE a ();\n", "0002-b.sql": "CREATE TABLE b ();\n"},
    places=[Place({"1-a.sql": "SELECT 1;\n"}, "2-b.sql")],
    table=Table(
        "migrations",
        "id int, name varchar, hash varchar, executed_at timestamp",
        "1, 'one', 'x', now()",
    ),
    read=[
        Read(
            "A dash, an underscore or nothing follows the number, and files are ordered by number.",
            {"10-j.sql": "", "0002_b-c.SQL": "", "1-a.sql": "", "3c.sql": "", "note.txt": ""}
            | {f"{number}-x{number}.sql": "" for number in range(4, 10)},
            {
                "migration_id": ["1", "0002", *"3456789", "10"],
                "name": ["a", "b-c", "c", *(f"x{number}" for number in range(4, 10)), "j"],
                "down": [None] * 10,
            },
        ),
        *(
            Read(
                "The comment matters only if a statement cannot run inside a transaction.",
                {"1-a.sql": text},
                {"up.mode": [mode]},
            )
            for text, mode in [
                ("SELECT 1;", Mode.SHARED),
                (f"{OUTSIDE}CREATE INDEX CONCURRENTLY i ON t (a);", Mode.STATEMENTS),
                (f"{OUTSIDE}SELECT 1; SELECT 2;", Mode.SHARED),
            ]
        ),
    ],
    # Numbers start at 1 without gaps and names are unique; `tests/proofs` compares with the tool.
    refused=[
        Refused({"1-a.sql": "", "3-c.sql": ""}, "3-c.sql has the number 3, but 2 comes next…"),
        Refused({"2-a.sql": ""}, "2-a.sql has the number 2, but 1 comes next…"),
        Refused({"1-a.sql": "", "01-b.sql": ""}, "Two files have version…"),
        Refused({"a.sql": ""}, "a.sql does not begin with a number, 1 or more…"),
        Refused({"0-a.sql": ""}, "0-a.sql does not begin with a number, 1 or more…"),
        Refused({"-1-a.sql": ""}, "-1-a.sql does not begin with a number, 1 or more…"),
        Refused({"1-a.sql": "", "2_a.sql": ""}, "2_a.sql has the name of 1-a.sql…"),
        Refused(
            {"1-create-migrations-table.sql": ""}, "…has the name of the tool's own migration…"
        ),
        Refused({f"1-{'a' * 101}.sql": ""}, "…has a name of 101 characters…"),
        Refused({"1-a.sql": "", ".2-b.sql": ""}, ".2-b.sql is not a migration…"),
        Refused({"1-a.sql": "", "__b.JS": ""}, "__b.JS is not a migration…"),
        Refused({"1-a.sql": "", "2-b.sql/note.txt": ""}, "2-b.sql is not a migration…"),
        Refused({}, "…contains no migrations…"),
    ],
    not_run=[
        NotRun(
            {"1-a.js": "module.exports.generateSql = () => `SELECT 1`"},
            "…is JavaScript or TypeScript…",
        ),
    ],
    recognised=[
        Recognised(
            {"0001-a.sql": "", "0002-b.sql": ""},
            "files numbered from 1 with a dash after the number, such as 0001-a.sql",
        ),
        Recognised(
            {"1_a.sql": OUTSIDE},
            "1_a.sql has a comment or function that only postgres-migrations reads",
        ),
        Recognised(
            {"1_a.js": "exports.generateSql = 1"},
            "1_a.js has a comment or function that only postgres-migrations reads",
        ),
        # Names with underscores alone do not identify the tool.
        Recognised({"1_a.sql": "", "2_b.sql": ""}, None),
        Recognised({"1-a.sql": "", "3-b.sql": ""}, None),
        Recognised({"000001-a.sql": "--! Previous: -\n"}, None),
        Recognised({}, None),
    ],
    stubs=[Stub({"1-a.sql": "DELETE FROM migrations;"}, "migrations", "hash")],
    histories=[
        History(
            "Row 0, which postgres-migrations writes for its own table, is left out.",
            CREATE + insert(1, "a", "0aff"),
            ForeignHistory("public.migrations", (ForeignRow("1", "a", AT, "0aff"),)),
        ),
        History(
            "Laravel's table has the same name and is not used.",
            "CREATE TABLE migrations (id serial, migration text, batch int)",
            None,
        ),
    ],
    adoptions=[
        Adoption(
            "Unchanged applied files are recorded, and the next one is run.",
            FILES,
            f"{CREATE}CREATE TABLE a ();"
            + insert(1, "a", digest_of("0001-a.sql", FILES["0001-a.sql"])),
            adopted=["0001"],
            applied=["0002"],
            settings={"LOCKGATE_FORMAT": "auto"},
        ),
        Adoption(
            "The checksum covers name and text.",
            {"1-a.sql": "SELECT 1;", "2-b.sql": "SELECT 2;"},
            CREATE
            + insert(1, "a", digest_of("1-a.sql", "SELECT 1;"))
            + insert(2, "c", digest_of("2-c.sql", "SELECT 2;")),
            refused="Files were edited after postgres-migrations applied them, by its own checksums:"
            " 2 b. Nothing was changed.",
        ),
    ],
)
