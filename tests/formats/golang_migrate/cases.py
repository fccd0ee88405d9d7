"""golang-migrate: pairs of files, their order, what Lockgate refuses, and the table of a single row."""

from __future__ import annotations

from tests.formats.kit import (
    ABSENT,
    Adoption,
    Cases,
    History,
    Place,
    Read,
    Recognised,
    Refused,
    Stub,
    Table,
)

from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState

TABLE = "public.schema_migrations"
CREATE = "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);"
DIRTY = (
    "is marked dirty: golang-migrate began it but did not complete it. Check which of its changes are"
    " in the database, complete or remove them, then run: migrate force {0} (or the version before, if"
    " you removed them)."
)
FILES = {"000009_a.up.sql": "SELECT 1;", "000010_b.up.sql": "SELECT 2;", "11_c.up.sql": "SELECT 3;"}


def insert(values: str) -> str:
    """Return the statements that create the table with rows."""
    return f"{CREATE} INSERT INTO schema_migrations VALUES {values}"


CASES = Cases(
    "golang-migrate",
    example={
        "1_a.up.sql": "CREATE TABLE a ();\n",
        "1_a.down.sql": "DROP TABLE a;\n",
        "migrate.go": "",
    },
    places=[Place({"1_a.up.sql": "SELECT 1;\n"}, "1_a.down.sql")],
    table=Table(
        "schema_migrations",
        "version bigint, dirty boolean",
        "1, false",
        chosen_by={"DATABASE_URL": "postgres://u:p@h/d?x-migrations-table=app.schema_migrations"},
    ),
    read=[
        Read(
            "Files are paired by the number of their version; titles and zeros may differ.",
            {"10_b.up.sql": "b", "000009_a.up.sql": "a", "9_else.down.sql": "undo a"},
            {
                "migration_id": ["000009", "10"],
                "name": ["a", "b"],
                "up.text": ["a", "b"],
                "down.path": ["9_else.down.sql", ABSENT],
                "down.text": ["undo a", ABSENT],
            },
        ),
        Read(
            "Files with other names, and subfolders, are ignored.",
            {
                "1_a.up.sql": "a",
                "2_b.sql": "",
                "README.md": "",
                "c.up.sql": "",
                "sub/3_c.up.sql": "",
            },
            {"migration_id": ["1"], "name": ["a"]},
        ),
        Read(
            "Markers and variables of other tools have no effect; line ends and comments stay.",
            {"1_a.up.sql": "-- +goose Up\r\nSELECT '${A}';"},
            {"up.sql": ["-- +goose Up\r\nSELECT '${A}';"], "up.substituted": [None]},
            variables={"A": "x"},
        ),
    ],
    refused=[
        # A copy with another suffix counts as a second file, as in golang-migrate.
        Refused(
            {"1_a.up.sql": "", "01_b.up.sql.orig": ""},
            "Two files have version 1: 01_b.up.sql.orig and 1_a.up.sql.",
            "Give one of them another version.",
        ),
        Refused({"1_a.sql": ""}, "… contains no migrations."),
    ],
    recognised=[
        Recognised({"1_a.up.sql": "", "1_a.down.sql": ""}, "files in pairs, such as 1_a.down.sql"),
        Recognised({"1_a.up.sql": "", "2_b.sql": ""}, None),
        # Comments of sqlx, which has the same names.
        Recognised({"1_a.up.sql": "-- no-transaction\n"}, None),
        Recognised({"1_a.up.sql": "-- Add up migration script here\n"}, None),
        Recognised({}, None),
    ],
    stubs=[
        Stub(
            {"1_a.up.sql": "UPDATE schema_migrations SET dirty = false"},
            "schema_migrations",
            "dirty boolean",
        )
    ],
    histories=[
        History(
            "The version is the baseline.",
            insert("(12, false)"),
            ForeignHistory(TABLE, (ForeignRow("12"),), baseline="12"),
        ),
        History(
            "A dirty version is reported as such.",
            insert("(12, true)"),
            ForeignHistory(
                TABLE,
                (ForeignRow("12", state=ForeignState.DIRTY, detail=f"it {DIRTY.format(12)}"),),
                baseline="12",
            ),
        ),
        History(
            "A database in which the first migration failed has a problem.",
            insert("(-1, true)"),
            ForeignHistory(TABLE, (), problem=f"version -1 {DIRTY.format(-1)}"),
        ),
        History(
            "A second row is a problem.",
            insert("(1, false), (2, false)"),
            ForeignHistory(TABLE, (), problem="it has 2 rows instead of one."),
        ),
        History("A table without a row has no version.", CREATE, ForeignHistory(TABLE, ())),
    ],
    adoptions=[
        Adoption(
            "Adoption records every file up to the version, whatever leading zeros its name has.",
            FILES,
            insert("(10, false)"),
            adopted=["000009", "000010"],
            applied=["11"],
        ),
        Adoption(
            "The refusal of a dirty version explains the fix.",
            FILES,
            insert("(10, true)"),
            refused=f"…{DIRTY.format(10)}…",
        ),
    ],
)
