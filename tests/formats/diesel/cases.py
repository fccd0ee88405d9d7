"""Diesel: one folder per migration, metadata, order, what Lockgate refuses, and the history table."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.formats.kit import Cases, History, Place, Read, Recognised, Refused, Stub, Table

from lockgate.core.catalog import Order
from lockgate.formats.tool import ForeignHistory, ForeignRow

CASES = Cases(
    "diesel",
    example={
        ".keep": "",
        "2024-01-01-000000_a/up.sql": "CREATE TABLE a ();\n",
        "2024-01-01-000000_a/down.sql": "DROP TABLE a;\n",
    },
    places=[
        Place({"1_a/up.sql": "SELECT 1;\n"}, "1_a/down.sql"),
        Place({"1_a/up.sql": "SELECT 1;\n"}, "1_a/metadata.toml"),
        Place({"1_a/up.sql": "SELECT 1;\n", "2_b/down.sql": "SELECT 1;\n"}, "2_b/up.sql"),
    ],
    table=Table("__diesel_schema_migrations", "version varchar, run_on timestamp", "'1', now()"),
    read=[
        Read(
            "Versions compare as texts without their dashes.",
            {
                "2024-01-02-000000_b/up.sql": "b",
                "20240101000000_a/up.sql": "a",
                "20240101000000_a/down.sql": "undo",
                "00000000000000_diesel_initial_setup/up.sql": "setup",
                "README.md": "",
                ".hidden/x.sql": "",
            },
            {
                "migration_id": ["00000000000000", "20240101000000", "20240102000000"],
                "name": ["diesel_initial_setup", "a", "b"],
            },
            order=Order.NUMBERS,
        ),
        Read(
            "Versions that are not numbers are sorted as text: 10 before 9, both before letters.",
            {"v2_c/up.sql": "c", "10_b/up.sql": "b", "9_a/up.sql": "a"},
            {"migration_id": ["10", "9", "v2"], "name": ["b", "a", "c"]},
            order=Order.LIST,
        ),
        *(
            Read(
                "A metadata file without the key turns the transaction off, as in Diesel.",
                {"1_a/up.sql": "a", "1_a/down.sql": "b", "1_a/metadata.toml": metadata},
                {"up.options.transaction": [expected], "down.options.transaction": [expected]},
            )
            for metadata, expected in [
                ("run_in_transaction = false\n", False),
                ("run_in_transaction = true\n", None),
                ("other = 1\n", False),
            ]
        ),
    ],
    refused=[
        Refused(
            {"1_a/down.sql": "x"},
            "1_a is a folder without up.sql, which is a broken migration to Diesel.",
            "Add 1_a/up.sql, or move the folder out of the migrations folder; or set"
            " LOCKGATE_MIGRATIONS (or --dir) to the migrations folder itself.",
        ),
        Refused(
            {"1_a/up.sql": ""},
            "1_a/up.sql is empty, which Diesel refuses to run.",
            "Write the migration, or remove it.",
        ),
        Refused(
            {"1_a/up.sql": "a", "1_a/metadata.toml": "run_in_transaction = 'no'"},
            "1_a/metadata.toml has a run_in_transaction that is neither true nor false.",
            "Write run_in_transaction = false.",
        ),
        Refused(
            {"2024-01-01_a/up.sql": "a", "20240101_b/up.sql": "b"},
            "Two files have version 20240101: 2024-01-01_a/up.sql and 20240101_b/up.sql.",
            "Give one of them another version.",
        ),
        # The TOML library words the cause.
        Refused(
            {"1_a/up.sql": "a", "1_a/metadata.toml": "x"},
            "1_a/metadata.toml is not TOML: …",
            "Correct the file.",
        ),
    ],
    recognised=[
        Recognised({"1_a/up.sql": ""}, "every folder has an up.sql, such as 1_a/up.sql"),
        Recognised({"1_a/up.sql": "", "2_b/migration.sql": ""}, None),
        Recognised({"1_a.sql": ""}, None),
    ],
    stubs=[
        Stub({"1_a/up.sql": "DELETE FROM __diesel_schema_migrations"}, "__diesel_schema_migrations")
    ],
    histories=[
        History(
            "Times without a zone are read in the time zone of the session.",
            """
CREATE TABLE __diesel_schema_migrations (
    version varchar(50) PRIMARY KEY NOT NULL,
    run_on timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO __diesel_schema_migrations
VALUES ('20240101000000', '2024-01-02 00:00:01'), ('00000000000000', '2024-01-02 00:00:00')
""",
            ForeignHistory(
                "public.__diesel_schema_migrations",
                (
                    ForeignRow("00000000000000", applied_at=datetime(2024, 1, 2, tzinfo=UTC)),
                    ForeignRow(
                        "20240101000000", applied_at=datetime(2024, 1, 2, 0, 0, 1, tzinfo=UTC)
                    ),
                ),
            ),
        ),
    ],
)
