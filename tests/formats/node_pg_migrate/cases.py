"""node-pg-migrate's SQL migrations: names, scripts, order, refusals, and the history table."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.formats.kit import Cases, History, NotRun, Place, Read, Recognised, Refused, Stub, Table

from lockgate.formats.tool import ForeignHistory, ForeignRow

SQL = "SELECT 1;\n"
BOTH = "-- Up Migration\nCREATE TABLE t ();\n\n-- Down Migration\nDROP TABLE t;\n"
# As created by node-pg-migrate.
TABLE = (
    "CREATE TABLE {schema}.pgmigrations"
    " (id serial PRIMARY KEY, name varchar(255) NOT NULL, run_on timestamp NOT NULL);"
)
THIRD = datetime(2024, 1, 3, tzinfo=UTC)

CASES = Cases(
    "node-pg-migrate",
    example={"1_a.sql": "-- Up Migration\nCREATE TABLE a ();\n-- Down Migration\nDROP TABLE a;\n"},
    places=[Place({"1_a.sql": SQL}, "2_b.sql")],
    table=Table(
        "pgmigrations",
        "id int, name varchar, run_on timestamp",
        "1, '1_one', now()",
        chosen_by={"NODE_CONFIG": '{"db": {"migrations-schema": "app"}}'},
        chosen_in=[
            {
                "../package.json": '{"scripts":'
                ' {"up": "npx node-pg-migrate up --migrations-schema=app"}}'
            },
            {
                "../config/default.json": '{"db":'
                ' {"migrations-table": "pgmigrations", "schema": ["app"]}}'
            },
        ],
    ),
    read=[
        Read(
            "Each script starts with its comment; a down script with the empty line above it, too.",
            {"1700000000000_create-t.sql": BOTH},
            {
                "migration_id": ["1700000000000_create-t"],
                "up.text": ["-- Up Migration\nCREATE TABLE t ();\n"],
                "up.first_line": [1],
                "down.text": ["\n-- Down Migration\nDROP TABLE t;\n"],
                "down.first_line": [3],
            },
        ),
        *(
            Read(
                "Case, dashes, spaces and trailing words in the comment do not matter.",
                {"1_a.sql": f"DELETE FROM t;\n{marker}\nSELECT 1;\n"},
                {"up.text": [f"{marker}\nSELECT 1;\n"], "up.first_line": [2]},
            )
            for marker in ("--UP MIGRATION", "  ---- up\tmigration of t", "--\n-- Up Migration")
        ),
        Read(
            "The down script may come first.",
            {"1_a.sql": "-- Down Migration\nDROP TABLE t;\n-- Up Migration\nCREATE TABLE t ();\n"},
            {
                "up.text": ["-- Up Migration\nCREATE TABLE t ();\n"],
                "up.first_line": [3],
                "down.text": ["-- Down Migration\nDROP TABLE t;\n"],
            },
        ),
        Read(
            "A file without comments has no down script.",
            {"1_a.sql": SQL},
            {"up.text": [SQL], "down": [None]},
        ),
        Read(
            "Each file of a pair is a whole script; the common part of the names is the version.",
            {"001_init.up.sql": BOTH, "001_init.down.sql": "DROP TABLE t;\n"},
            {"migration_id": ["001_init"], "up.text": [BOTH], "down.text": ["DROP TABLE t;\n"]},
        ),
        Read(
            "An empty down file does not count as a down script.",
            {"1_a.up.sql": SQL, "1_a.down.sql": ""},
            {"down": [None]},
        ),
        Read(
            "Seventeen digits are a date; with equal numbers, punctuation in names does not count.",
            {
                f"{name}.sql": SQL
                for name in (
                    *("20240102030405678_b", "10_a", "9_z", "1704164645677_c", "9_a_10", "9_a_9"),
                    "009_aa",
                )
            },
            {
                "migration_id": [
                    *("9_a_9", "9_a_10", "009_aa", "9_z", "10_a", "1704164645677_c"),
                    "20240102030405678_b",
                ]
            },
        ),
        Read(
            "The suffix counts: a_b.sql comes before a.sql, as b comes before s.",
            {"1_a.sql": SQL, "1_a_b.sql": SQL},
            {"migration_id": ["1_a_b", "1_a"]},
        ),
        *(
            Read(
                "A program keeps its place in the order.",
                {"1_a.sql": SQL, f"2_b.{suffix}": "", "3_c.sql": SQL},
                {"migration_id": ["1_a", "2_b", "3_c"]},
            )
            for suffix in ("js", "ts", "mjs", "cjs")
        ),
        Read(
            "Hidden files, folders, and files with other suffixes are ignored.",
            {".1_b.sql": SQL, "old/2_c.sql": SQL, "README.md": "", "1_a.sql": SQL, "1_a.d.ts": ""},
            {"migration_id": ["1_a"]},
        ),
    ],
    refused=[
        Refused({"1_a.down.sql": SQL}, "1_a.down.sql has a down script but no up script."),
        Refused(
            {"1_a.sql": SQL, "1_a.up.sql": SQL},
            "1_a.up.sql is a second file for the migration 1_a.sql.",
        ),
        Refused(
            {"init.sql": SQL},
            "init.sql does not begin with a number, by which node-pg-migrate sorts migrations.",
        ),
        # They are not a date, so they cannot be sorted.
        Refused({"20241399999999999_a.sql": SQL}, "20241399999999999_a.sql begins with 17 digits…"),
        # The file system would decide the order.
        Refused(
            {"1_a-b.sql": SQL, "1_a_b.sql": SQL},
            "1_a_b.sql cannot be sorted:"
            " to node-pg-migrate its name is equal to that of 1_a-b.sql.",
        ),
        Refused(
            {"1_a.sql": SQL, "1_a.js": ""}, "1_a.js is a second file for the migration 1_a.sql."
        ),
    ],
    not_run=[
        NotRun(
            {"1_a.sql": "CREATE TABLE t ();\n-- Down Migration\nDROP TABLE t;\n"},
            "1_a.sql:2: the script opens a down script but no up script;"
            " node-pg-migrate would run both as one.",
        ),
        *(
            NotRun(
                {"1_a.sql": SQL, f"2_b.{suffix}": "", "3_c.sql": SQL},
                f"2_b.{suffix}:1: the script is JavaScript or TypeScript, and Lockgate only runs SQL.",
            )
            for suffix in ("js", "ts", "mjs", "cjs")
        ),
    ],
    recognised=[
        Recognised({"1_a.sql": BOTH}, '1_a.sql has the comment "Up Migration" or "Down Migration"'),
        Recognised({"1_a.sql": SQL}, None),
        Recognised({"a.sql": BOTH}, None),
        Recognised(
            {"1_a.js": "exports.up = (pgm) => { pgm.sql('x'); };"},
            "1_a.js is a node-pg-migrate migration",
        ),
        Recognised({"1_a.js": "exports.up = (knex) => {};"}, None),
    ],
    stubs=[Stub({"1_a.sql": "DELETE FROM pgmigrations;\n"}, "pgmigrations")],
    histories=[
        History("A database that node-pg-migrate never used has no such table.", "", None),
        History(
            "The table is found in any schema.",
            "CREATE SCHEMA app;" + TABLE.format(schema="app"),
            ForeignHistory("app.pgmigrations", ()),
        ),
        History(
            "Rows are in order of application; the suffix of an up file is not in the version.",
            TABLE.format(schema="public") + "INSERT INTO pgmigrations (name, run_on) VALUES"
            " ('3_c', '2024-01-03'), ('1_a.up', '2024-01-01'), ('2_b', '2024-01-01')",
            ForeignHistory(
                "public.pgmigrations",
                (
                    ForeignRow("1_a", applied_at=THIRD.replace(day=1)),
                    ForeignRow("2_b", applied_at=THIRD.replace(day=1)),
                    ForeignRow("3_c", applied_at=THIRD),
                ),
            ),
        ),
    ],
)
