"""SQL that projects run through Knex: names, scripts, order, refusals, and Knex's tables."""

from __future__ import annotations

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

from lockgate.formats.tool import ForeignHistory, ForeignRow

SQL = "SELECT 1;\n"
STUB = '//  a comment\nmodule.exports = require("knex-migrate-sql-file")();\n'
PROGRAM = STUB + "module.exports.up = () => {};\n"
NOT_SQL = "the script is JavaScript or TypeScript, and Lockgate only runs SQL."
AT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
DOWN = "DROP TABLE t;\n"


def make_tables(*rows: tuple[str, int], name: str = "knex_migrations") -> str:
    """Return the statements that create both tables as Knex does, with rows of name and batch."""
    lock = f"{name[:-1]}_lock{name[-1]}" if name.startswith('"') else f"{name}_lock"
    listed = ", ".join(f"('{n}', {batch}, '2024-05-06 07:08:09+00')" for n, batch in rows)
    return (
        f"CREATE TABLE {name} (id serial PRIMARY KEY, name varchar(255), batch integer,"
        " migration_time timestamptz);"
        f"CREATE TABLE {lock} (index serial PRIMARY KEY, is_locked integer);"
        f"INSERT INTO {lock} (is_locked) VALUES (0);"
        + (f"INSERT INTO {name} (name, batch, migration_time) VALUES {listed};" if rows else "")
    )


def make_history(*versions: str, problem: str | None = None) -> ForeignHistory:
    """Return the history of these versions."""
    rows = tuple(ForeignRow(version, applied_at=AT) for version in versions)
    return ForeignHistory("public.knex_migrations", rows, problem=problem)


CASES = Cases(
    "knex",
    example={
        "1_a.js": "exports.up = (knex) => knex.raw('')",
        "2_b.up.sql": "CREATE TABLE a ();\n",
        "2_b.down.sql": "DROP TABLE a;\n",
    },
    places=[Place({"1_a.sql": SQL}, "2_b.sql"), Place({"1_a.up.sql": SQL}, "1_a.js")],
    table=Table(
        "knex_migrations",
        "id int, name varchar, batch int, migration_time timestamptz",
        "1, '1_one.sql', 1, now()",
        chosen_in=[
            {
                "../knexfile.js": "module.exports ="
                " { tableName: 'knex_migrations', schemaName: 'app' };\n"
            }
        ],
    ),
    read=[
        *(
            Read(
                "The common part of two file names is the version.",
                {f"001_a{separator}up.sql": SQL, f"001_a{separator}down.sql": DOWN},
                {"migration_id": ["001_a"], "up.text": [SQL], "down.text": [DOWN]},
            )
            for separator in ".-_"
        ),
        Read(
            "A single file has no down script, and an _up suffix alone is part of its name.",
            {"001_a.sql": SQL, "002_scale_up.sql": SQL, "003_b.up.sql": SQL},
            {"migration_id": ["001_a", "002_scale_up", "003_b"], "down": [None, None, None]},
        ),
        Read(
            "Names are sorted character by character including the suffix, so 10 runs before 9.",
            dict.fromkeys(["a.sql", "a-b.sql", "a_b.sql", "B.sql", "10_a.sql", "9_a.sql"], SQL),
            {"migration_id": ["10_a", "9_a", "B", "a-b", "a", "a_b"]},
        ),
        *(
            Read(
                "A script that only loads its SQL files is accepted, and the SQL is the migration.",
                {"1_a.js": stub, "1_a.up.sql": SQL, "1_a.down.sql": SQL},
                {"migration_id": ["1_a"], "up.options.transaction": [None]},
            )
            for stub in (
                STUB,
                "'use strict';\nmodule.exports = require('knex-sql-file-migration')()\n",
                f"{STUB}/* exports.up = 1 */\nmodule.exports.config = {{ transaction: true }};\n",
            )
        ),
        Read(
            "A script can turn the transaction off, as in Knex.",
            {
                "1_a.js": STUB + "module.exports.config = { transaction: false };\n",
                "1_a.up.sql": SQL,
                "1_a.down.sql": SQL,
            },
            {"up.options.transaction": [False], "down.options.transaction": [False]},
        ),
        *(
            Read(
                "A program keeps its place in the order.",
                {name: PROGRAM, "1_a.up.sql": SQL, "3_c.sql": SQL},
                {"migration_id": expected},
            )
            for name, expected in [
                ("1_a.js", ["1_a", "3_c"]),
                ("1_a.ts", ["1_a", "3_c"]),
                ("2_b.js", ["1_a", "2_b", "3_c"]),
            ]
        ),
        Read(
            "TypeScript declaration files are ignored.",
            {"1_a.d.ts": "", "1_a.sql": SQL},
            {"migration_id": ["1_a"]},
        ),
        Read(
            "A comment that mentions down does not start a down script.",
            {"1_a.sql": "-- down with old names\nSELECT 1;\n"},
            {"up.text": ["-- down with old names\nSELECT 1;\n"]},
        ),
        Read(
            "A ? in a string becomes $1, as in knex.raw, and an escaped one a question mark.",
            {"1_a.sql": "-- why?\nSELECT 'who?', a \\? 'k', '\\?' FROM t;\n"},
            {
                "up.text": ["-- why?\nSELECT 'who?', a \\? 'k', '\\?' FROM t;\n"],
                "up.sql": ["-- why$1\nSELECT 'who$2', a ? 'k', '?' FROM t;\n"],
            },
        ),
    ],
    refused=[
        *(
            Refused({name: SQL, "2_b.sql": SQL}, f"{name} has a down script but no up script.")
            for name in ("1_a.down.sql", "1_a_down.sql", "1_a-down.sql")
        ),
        Refused(
            {"1_a.sql": SQL, "1_a.up.sql": SQL},
            "1_a.up.sql is a second file for the migration 1_a.sql.",
        ),
        # Its undo files would be run as migrations.
        *(
            Refused(
                {name: SQL},
                f"{name} has the name of a Postgrator migration, which Lockgate does not read.",
            )
            for name in ("001.do.a.sql", "001.undo.a.sql", "1.do.sql")
        ),
        Refused({"1_a.js": STUB, "2_b.sql": SQL}, "1_a.js runs 1_a.up.sql, which is missing."),
        Refused(
            {"1_a.js": STUB, "1_a.up.sql": SQL, "2_b.up.sql": SQL},
            "2_b.up.sql has no 2_b.js beside it, as other files have, so Knex does not run it.",
        ),
    ],
    not_run=[
        *(
            NotRun({name: PROGRAM, "1_a.up.sql": SQL, "3_c.sql": SQL}, f"{name}:1: {NOT_SQL}")
            for name in ("1_a.js", "1_a.ts", "2_b.js")
        ),
        # A parameter without a value.
        NotRun(
            {"1_a.sql": "-- why?\nSELECT\n  a ?| array['k'] FROM t;\n"},
            "1_a.sql:3: the script has a question mark that knex.raw reads as a parameter.",
        ),
    ],
    recognised=[
        Recognised({"1_a.js": STUB, "1_a.up.sql": SQL}, "1_a.js runs SQL files through Knex"),
        Recognised(
            {"1_a.ts": "export async function up(knex: Knex) {}"}, "1_a.ts is a Knex migration"
        ),
        Recognised({"1_a.up.sql": SQL, "1_a.down.sql": SQL}, None),
    ],
    stubs=[
        Stub({"1_a.sql": "UPDATE knex_migrations SET batch = 1;\n"}, "knex_migrations"),
        Stub(
            {"1_a.sql": "UPDATE knex_migrations_lock SET is_locked = 0;\n"}, "knex_migrations_lock"
        ),
        Stub(
            {
                "1_a.sql": "CREATE TABLE seen AS SELECT count(*) FROM knex_migrations_lock;\n",
                "2_b.sql": "UPDATE knex_migrations SET name = 'x' WHERE name LIKE 'y';\n",
            },
            "knex_migrations",
        ),
    ],
    histories=[
        History("A database that Knex never used has no such table.", "", None),
        History(
            "The table is found by its columns, whatever name the settings gave it.",
            make_tables(name='"My log"'),
            ForeignHistory('public."My log"', ()),
        ),
        *(
            History(
                "The suffix of a recorded file name is not part of the version.",
                make_tables((name, 1)),
                make_history("1_a"),
            )
            for name in ("1_a", "1_a.js", "1_a.ts", "1_a.mjs", "1_a.sql", "1_a.up.sql", "1_a.up")
        ),
        History(
            "Rows are ordered by batch, and a version appears once.",
            make_tables(("2_b.sql", 2), ("1_a.js", 1), ("1_a.sql", 2), ("3_c.sql", 3)),
            make_history("1_a", "2_b", "3_c"),
        ),
        History(
            "A held lock is reported, because Knex may still be migrating.",
            make_tables(("1_a.js", 1)) + "UPDATE knex_migrations_lock SET is_locked = 1",
            make_history(
                "1_a",
                problem="a run of Knex holds the lock in public.knex_migrations_lock."
                " If none is running, release it: knex migrate:unlock.",
            ),
        ),
        History(
            "A missing lock table is not a problem, because Knex creates it on demand.",
            make_tables(("1_a.js", 1)) + "DROP TABLE knex_migrations_lock",
            make_history("1_a"),
        ),
    ],
    adoptions=[
        Adoption(
            "A migration that Knex applied is not run again.",
            {"1_a.sql": "CREATE TABLE one ();\n", "2_b.sql": "CREATE TABLE two ();\n"},
            "CREATE TABLE one ();" + make_tables(("1_a.sql", 1)),
            adopted=["1_a"],
            applied=["2_b"],
        ),
        Adoption(
            "Programs that Knex applied are adopted, and a pending one is refused by name.",
            {
                "1_a.js": "exports.up = (knex) => knex.schema.createTable('one', () => {});\n",
                "2_b.sql": "CREATE TABLE two ();\n",
            },
            make_tables(("1_a.js", 1)),
            before=f"1_a.js:1: {NOT_SQL} Nothing was changed.",
            adopted=["1_a"],
            applied=["2_b"],
        ),
    ],
)
