"""yoyo: directives, order, rollbacks, Python steps, refusals, and the history tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from tests.formats.kit import (
    ABSENT,
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

from lockgate.core.migration import Language
from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState

SQL = "SELECT 1;\n"
UP = "-- a table\n-- transactional: false\nCREATE TABLE t ();\n"
PYTHON = '''"""A table."""
from yoyo import step

__depends__ = {"0001.a"}
__transactional__ = False

steps = [
    step("""
CREATE TABLE t ()
    """, "DROP TABLE t"),
    step("SELECT 2 -- two", rollback="SELECT 3"),
    step("SELECT 4"),
]
'''
GROUPS = (
    "import yoyo\nfirst = yoyo.step('SELECT 1')\nyoyo.step('SELECT 2')\nyoyo.group(first, "
    "yoyo.step('SELECT 3'))\nyoyo.transaction([yoyo.step('SELECT 4')])\n"
)
NOT_LITERAL = "more than steps with literal SQL"
# Python that must be run, its first line that Lockgate does not understand, and the reason.
PROGRAMS = [
    ("from yoyo import step\n\ndef up(conn): ...\nstep(up)", 3, NOT_LITERAL),
    ("from yoyo import step\nstep('SELECT 1', ignore_errors='all')", 2, "passes ignore_errors"),
    ("from yoyo import step\nfrom app import SQL\nstep(SQL)", 2, NOT_LITERAL),
    ("from yoyo import step\nstep(f'SELECT {1}')", 2, NOT_LITERAL),
    ("from yoyo import step\nfor i in range(3):\n    step('SELECT 1')", 2, NOT_LITERAL),
]
TABLE = """
CREATE TABLE _yoyo_migration (
    migration_hash varchar(64) PRIMARY KEY,
    migration_id varchar(255),
    applied_at_utc timestamp
);
INSERT INTO _yoyo_migration
SELECT encode(sha256(id::bytea), 'hex'), id, at::timestamp
  FROM (VALUES ('b', '2024-01-02'), ('a.x', '2024-01-03'), ('__init__', '2024-01-01')) AS v (id, at);
"""
LOCK = (
    "CREATE TABLE yoyo_lock (locked int DEFAULT 1 PRIMARY KEY, ctime timestamp, pid int NOT NULL);"
)
EDITED = (
    "Its migration_hash does not match its migration_id: the row was edited. Set migration_hash to the"
    " SHA-256 of migration_id."
)
ROWS = (
    ForeignRow("b", applied_at=datetime(2024, 1, 2, tzinfo=UTC)),
    ForeignRow("a.x", applied_at=datetime(2024, 1, 3, tzinfo=UTC)),
)

CASES = Cases(
    "yoyo",
    example={
        "1_a.sql": "-- depends:\nCREATE TABLE a ();\n",
        "1_a.rollback.sql": "DROP TABLE a;\n",
    },
    places=[Place({"a.sql": SQL}, "a.rollback.sql"), Place({"a.sql": SQL}, "b.py")],
    table=Table(
        "_yoyo_migration",
        "migration_hash varchar, migration_id varchar, applied_at_utc timestamp",
        "'x', '1_one', now()",
        chosen_in=[{"../yoyo.ini": "[DEFAULT]\nmigration_table = app._yoyo_migration\n"}],
    ),
    read=[
        Read(
            "The name without its extension is the id, and each script is a whole file.",
            {"0001.t.sql": UP, "0001.t.rollback.sql": "DROP TABLE t;\n"},
            {
                "migration_id": ["0001.t"],
                "up.text": [UP],
                "up.options.transaction": [False],
                "down.text": ["DROP TABLE t;\n"],
                "down.options.transaction": [False],
            },
        ),
        Read(
            "Migrations are sorted by file name, but each waits for its dependencies.",
            {
                "a.sql": "-- depends: z\n-- depends: m\nSELECT 1;",
                "b.sql": SQL,
                "m.sql": "\n-- depends: n\n\nSELECT 1;",
                "n.sql": SQL,
                "z.sql": SQL,
            },
            {"migration_id": [*"bnmza"]},
        ),
        Read(
            "Names are compared with their extension, so a dash sorts before the dot.",
            {"a.sql": SQL, "a-b.sql": SQL},
            {"migration_id": ["a-b", "a"]},
        ),
        Read(
            "Directives count only above the first SQL, and a block comment ends them too.",
            {
                "a.sql": "SELECT 1;\n-- depends: nobody\n-- transactional: false\n",
                "b.sql": "/* head */\n-- transactional: false\nSELECT 1;\n",
            },
            {"up.options.transaction": [None, None]},
        ),
        *(
            Read(
                "True and false are accepted in any case.",
                {"a.sql": f"-- transactional: {word}\nSELECT 1;"},
                {"up.options.transaction": [expected]},
            )
            for word, expected in [("true", True), ("FALSE", False)]
        ),
        Read(
            "Rollbacks alone, subfolders, drafts and suffixes in capitals are ignored.",
            dict.fromkeys(
                [
                    *("a.sql", "b.rollback.sql", "sub/c.sql", "_tmp_yoyonew_d.sql", "E.SQL"),
                    "yoyo.ini",
                ],
                SQL,
            ),
            {"migration_id": ["a"]},
        ),
        Read(
            "Each step keeps its line of the file, and rollbacks run in reverse order.",
            {"0001.a.sql": SQL, "0002.b.py": PYTHON},
            {
                "migration_id": ["0001.a", "0002.b"],
                "up.text": [
                    SQL,
                    "\n" * 7 + "\nCREATE TABLE t ()\n    ;\nSELECT 2 -- two\n;SELECT 4;",
                ],
                "up.options.transaction": [None, False],
                "up.language": [Language.SQL, Language.SQL],
                "down.text": [ABSENT, "\n" * 10 + "SELECT 3;DROP TABLE t;"],
            },
        ),
        Read(
            "A step that is part of a group runs with the group, not where it is defined.",
            {"a.py": GROUPS},
            {"up.text": ["\n\nSELECT 2;SELECT 1;\nSELECT 3;\nSELECT 4;"], "down": [None]},
        ),
        *(
            Read(
                "A file that must be executed keeps its place in the order.",
                {"a.sql": "-- depends: b\nSELECT 1;", "b.py": code},
                {"migration_id": ["b", "a"]},
            )
            for code, _, _ in PROGRAMS
        ),
    ],
    not_run=[
        NotRun(
            {"a.sql": "-- depends: b\nSELECT 1;", "b.py": code}, f"b.py:{line}: the script …{why}…"
        )
        for code, line, why in PROGRAMS
    ],
    refused=[
        Refused({"README": ""}, "…contains no migrations…"),
        Refused({"README": "", "post-apply.sql": SQL}, "post-apply.sql is a hook…"),
        Refused(
            {"README": "", "a.sql": "\n-- depends: b\n"},
            "a.sql:2 depends on b, which is not a migration…",
        ),
        Refused(
            {
                "README": "",
                "a.sql": "-- depends: b\n",
                "b.sql": "-- depends: a\n",
                "c.sql": "-- depends: a\n",
            },
            "…is part of a circle of dependencies: a, b, c…",
        ),
        Refused(
            {"README": "", "a.sql": "-- transactional: no\n"}, 'a.sql:1 has transactional: "no"…'
        ),
        Refused(
            {"README": "", "a.sql": SQL, "a.py": ""}, "Two files have version a: a.py and a.sql…"
        ),
        Refused({"README": "", "a.py": "step("}, "a.py:1 has a Python syntax error…"),
        Refused(
            {"README": "", "a.py": "\n__depends__ = find()"},
            "a.py:2 has a __depends__ that is not a literal…",
        ),
    ],
    recognised=[
        Recognised({"a.sql": "-- depends: b\nSELECT 1"}, "a.sql has -- depends:"),
        Recognised({"a.sql": SQL, "a.rollback.sql": SQL}, "a.rollback.sql is beside its migration"),
        Recognised({"a.py": "from yoyo import step"}, "a.py imports yoyo"),
        Recognised({"a.sql": SQL}, None),
        Recognised({"a.rollback.sql": SQL}, None),
        Recognised({"a.py": "import os", "b.sql": "SELECT 1;\n-- depends: a"}, None),
    ],
    stubs=[
        Stub({"a.sql": "DELETE FROM _yoyo_migration;"}, "_yoyo_migration", "migration_hash"),
        Stub({"a.sql": SQL}, None),
    ],
    histories=[
        History(
            "Times are UTC, and the row of __init__ is left out.",
            TABLE + LOCK,
            ForeignHistory("public._yoyo_migration", ROWS),
        ),
        History(
            "A row whose hash does not match its id is unknown: yoyo identifies it by the hash.",
            f"{TABLE} UPDATE _yoyo_migration SET migration_id = 'c' WHERE migration_id = 'b'",
            ForeignHistory(
                "public._yoyo_migration",
                (replace(ROWS[0], version="c", state=ForeignState.UNKNOWN, detail=EDITED), ROWS[1]),
            ),
        ),
        History(
            "A held lock is reported with its process and the command that breaks it.",
            f"{TABLE}{LOCK}INSERT INTO yoyo_lock (pid) VALUES (4711)",
            ForeignHistory(
                "public._yoyo_migration",
                ROWS,
                problem="yoyo's process 4711 holds its lock (public.yoyo_lock)."
                " If it ended: yoyo break-lock.",
            ),
        ),
        History("Without yoyo's table, no table is found.", "", None),
    ],
)
