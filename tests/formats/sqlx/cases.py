"""sqlx: simple and reversible migrations, what Lockgate refuses, and the history with checksums."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from tests.formats.kit import (
    ABSENT,
    Adoption,
    Cases,
    Checksum,
    History,
    Place,
    Read,
    Recognised,
    Refused,
    Stub,
    Table,
)

from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState

CREATE = """
CREATE TABLE _sqlx_migrations (
    version bigint PRIMARY KEY,
    description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT '2024-01-02 03:04:05+00',
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
"""
FAILED = (
    "sqlx recorded that version 2 was begun but not completed. Complete or remove its changes by hand,"
    " delete its row from _sqlx_migrations, and adopt again."
)
AT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
# With a byte order mark and a Windows line end, which count.
WINDOWS = "\ufeffSELECT 1;\r\n"


def insert(version: int, success: str, checksum: str) -> str:
    """Return the statement that inserts a row as sqlx does."""
    return (
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)"
        f" VALUES ({version}, 'a b', {success}, '\\x{checksum}', 1);"
    )


def digest_of(text: str) -> str:
    """Return the checksum that sqlx records."""
    return hashlib.sha384(text.encode()).hexdigest()


CASES = Cases(
    "sqlx",
    example={
        "1_a.up.sql": "-- Add up migration script here\nCREATE TABLE a ();\n",
        "1_a.down.sql": "DROP TABLE a;\n",
    },
    places=[Place({"1_a.sql": "SELECT 1;\n"}, "2_b.sql")],
    table=Table(
        "_sqlx_migrations",
        "version bigint, description text, installed_on timestamptz, success boolean,"
        " checksum bytea, execution_time bigint",
        "1, 'one', now(), true, '\\x00', 1",
        chosen_in=[{"../sqlx.toml": '[migrate]\ntable-name = "app._sqlx_migrations"\n'}],
    ),
    read=[
        Read(
            "Simple and reversible migrations may be mixed; a file without underscore is ignored.",
            {
                "10_c.sql": "c",
                "0009_b.up.sql": "b",
                "9_b.down.sql": "undo",
                "init.sql": "",
                "x_y": "",
            },
            {
                "migration_id": ["0009", "10"],
                "name": ["b", "c"],
                "up.text": ["b", "c"],
                "down.text": ["undo", ABSENT],
            },
        ),
        *(
            Read(
                "The comment counts only as the very first characters of the file.",
                {"1_a.sql": text},
                {"up.options.transaction": [expected]},
            )
            for text, expected in [
                ("-- no-transaction\nSELECT 1", False),
                ("-- no-transaction, please", False),
                ("\n-- no-transaction\n", None),
                ("--no-transaction\n", None),
            ]
        ),
        Read(
            "The comment in one file does not affect the other direction.",
            {"1_a.up.sql": "-- no-transaction\n", "1_a.down.sql": "SELECT 1"},
            {"up.options.transaction": [False], "down.options.transaction": [None]},
        ),
    ],
    refused=[
        Refused(
            {"a_b.sql": ""},
            "a_b.sql has no number before its first underscore.",
            "Name it VERSION_description.sql, or move it out of the migrations folder.",
        ),
        Refused(
            {"1_a.down.sql": ""},
            "1_a.down.sql has a down script but no up script.",
            "Add 1_a.up.sql, or remove 1_a.down.sql.",
        ),
        Refused(
            {"1_a.sql": "", "1_b.up.sql": ""},
            "Two files have version 1: 1_a.sql and 1_b.up.sql.",
            "Give one of them another version.",
        ),
    ],
    recognised=[
        Recognised({"1_a.sql": "SELECT 1"}, "numbered files without markers, such as 1_a.sql"),
        Recognised(
            {"1_a.up.sql": "SELECT 1"}, "numbered files without markers, such as 1_a.up.sql"
        ),
        Recognised(
            {"1_a.sql": "-- Add migration script here\n"},
            "comments of sqlx in files such as 1_a.sql",
        ),
        # The marker or name of another tool rules sqlx out.
        Recognised({"1_a.sql": "-- +goose Up\n"}, None),
        Recognised({"1_a.sql": "-- migrate:up\n"}, None),
        Recognised({"1_a.sql": "", "V2__b.sql": ""}, None),
        Recognised({"1_a.sql": "", "2_b.py": ""}, None),
        Recognised({}, None),
    ],
    stubs=[Stub({"1_a.sql": "UPDATE _sqlx_migrations SET checksum = ''"}, "_sqlx_migrations")],
    histories=[
        History(
            "A row without success is a failure and explains how to fix it.",
            CREATE + insert(1, "true", "0aff") + insert(2, "false", "00"),
            ForeignHistory(
                "public._sqlx_migrations",
                (
                    ForeignRow("1", "a b", AT, "0aff"),
                    ForeignRow("2", "a b", AT, "00", ForeignState.FAILED, FAILED),
                ),
            ),
        ),
    ],
    checksums=[
        Checksum(
            "The checksum is that of the up file's bytes.",
            {"1_a.up.sql": WINDOWS, "1_a.down.sql": "x"},
            digest_of(WINDOWS),
        ),
    ],
    adoptions=[
        Adoption(
            "The error names only the file that differs from its recorded checksum.",
            {"0001_a.sql": "SELECT 1;", "0002_b.sql": "SELECT 2;"},
            CREATE + insert(1, "true", digest_of("SELECT 1;")) + insert(2, "true", digest_of("x")),
            refused="Files were edited after sqlx applied them, by its own checksums: 0002 b."
            " Nothing was changed.",
        ),
    ],
)
