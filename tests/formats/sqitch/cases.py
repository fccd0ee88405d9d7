"""Sqitch: plan, ids, layout, scripts, refusals, and the registry."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from tests.formats.kit import (
    Adoption,
    Cases,
    Checksum,
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
from lockgate.formats.sqitch.plan import read_plan
from lockgate.formats.tool import ForeignHistory, ForeignRow

HEAD = "%syntax-version=1.0.0\n%project=flipr\n\n"
SIGNED = "2026-01-01T12:00:00Z P <p@example.com>"
SQL = "SELECT 1;\n"
PLAN = """%syntax-version=1.0.0
%project=flipr
%uri=HTTPS://Example.COM:443/flipr/%7eus?q=%c3%bc#ä

users 2026-01-01T12:00:00Z Änne Planner <planner@example.com> # Adds; a table \\\\ of\\nusers.
 + flips [users] 2026-01-01T12:00:01Z Änne  Planner  <planner@example.com>  #   0
lists/main [flips users !later] 2026-01-01T12:00:02Z P <p@example.com> # # double
@v1.0 2026-01-01T12:00:03Z P <p@example.com> # Tag it.

users [users@v1.0 @v1.0 flipr:flips] 2026-01-01T12:00:04Z P <p@example.com>
later 2026-01-01T12:00:05Z P <p@example.com> # last
"""
SCRIPTS = ("users@v1.0", "flips", "lists/main", "users", "later")
FILES = {"sqitch.plan": PLAN, **{f"deploy/{name}.sql": f"-- {name}\n" for name in SCRIPTS}}
CONFIG = (
    "[core]\n\tengine = pg\n  top_dir = a b ; of all\n\textension = ddl\n\tplan_file=x\n"
    '[engine "pg"]\n\tplan_file = "pl\\"a\\"n" # here\n\trevert_dir = un\\\ndo\n[deploy] verify\n'
)
IN_APP = '[core]\n\tengine = pg\n[engine "pg"]\n\tregistry = app\n'
INVALID = "has a line that is neither a change nor a tag…"
REGISTRY = """
CREATE SCHEMA registry;
CREATE TABLE registry.changes (
    change_id text PRIMARY KEY,
    script_hash text,
    change text NOT NULL,
    project text NOT NULL,
    committed_at timestamptz NOT NULL,
    planned_at timestamptz NOT NULL
);
INSERT INTO registry.changes
VALUES ('f0', 'abc', 'users', 'flipr', '2024-01-02 00:00:01Z', '2024-01-01 00:00:00Z'),
       ('a1', 'a1', 'lists', 'other', '2024-01-02 00:00:00Z', '2024-01-01 00:00:00Z');
"""
AT = datetime(2024, 1, 2, tzinfo=UTC)
ADOPTED = {
    "sqitch.plan": f"%project=p\n\na {SIGNED}\nb {SIGNED}\n",
    "deploy/a.sql": "CREATE TABLE a ();",
    "deploy/b.sql": "CREATE TABLE b ();",
}


def make_files(*lines: str, **scripts: str) -> dict[str, str]:
    """Return a plan with the given lines, and a deploy script for each name."""
    plan = HEAD + "".join(f"{line}\n" for line in lines)
    return {"sqitch.plan": plan, **{f"deploy/{name}.sql": sql for name, sql in scripts.items()}}


def deploy(name: str, script: str | None = None) -> str:
    """Return the statement that records a change of `ADOPTED` as deployed in the registry."""
    text = ADOPTED[f"deploy/{name}.sql"] if script is None else script
    changes = read_plan(ADOPTED["sqitch.plan"], "sqitch.plan").changes
    change = next(one for one in changes if one.name == name)
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return (
        f"INSERT INTO registry.changes VALUES ('{change.change_id}', '{digest}', '{name}', 'p', now(),"
        " now());"
    )


DEPLOYED = f"{REGISTRY} DELETE FROM registry.changes WHERE project = 'flipr'; {deploy('a')}"

CASES = Cases(
    "sqitch",
    example={
        "sqitch.plan": f"%project=a\n\na {SIGNED}\n",
        "deploy/a.sql": "CREATE TABLE a ();\n",
        "revert/a.sql": "DROP TABLE a;\n",
        "verify/a.sql": "",
    },
    places=[
        Place(make_files(f"a {SIGNED}"), "deploy/a.sql"),
        Place(make_files(f"a {SIGNED}", a=SQL), "revert/a.sql"),
        Place(make_files(f"a {SIGNED}", a=SQL), "sqitch.conf"),
        Place({"deploy/a.sql": SQL}, "sqitch.plan"),
    ],
    table=Table(
        "changes",
        "change_id text, script_hash text, change text, project text, committed_at timestamptz,"
        " planned_at timestamptz",
        "'a', 'b', 'one', 'p', now(), now()",
        chosen_in=[{"../sqitch.conf": IN_APP, "sqitch.conf": IN_APP}],
    ),
    read=[
        Read(
            "A reworked change gets a number, and its earlier script the name of its tag.",
            FILES,
            {
                "migration_id": ["users", "flips", "lists/main", "users#2", "later"],
                "path": [f"deploy/{name}.sql" for name in SCRIPTS],
            },
        ),
        Read(
            "The revert script is the down script, and verify scripts are ignored.",
            make_files(f"a {SIGNED}", a=SQL)
            | {"revert/a.sql": "SELECT 2;", "verify/a.sql": "SELECT x;"},
            {"down.path": ["revert/a.sql"], "down.text": ["SELECT 2;"]},
        ),
        Read(
            "The configuration has Git's syntax, and the engine's section overrides [core].",
            {
                "sqitch.conf": CONFIG,
                'pl"a"n': f"{HEAD}a {SIGNED}\n",
                "a b/deploy/a.ddl": SQL,
                "undo/a.ddl": SQL,
            },
            {"path": ["a b/deploy/a.ddl"], "down.path": ["undo/a.ddl"]},
        ),
        *(
            Read(
                "Statements without BEGIN share a transaction unless one cannot run in any.",
                make_files(f"a {SIGNED}", a=sql),
                {"up.options.transaction": [transaction], "up.mode": [mode]},
            )
            for sql, transaction, mode in [
                ("CREATE TABLE t ();SELECT 1;", None, Mode.SHARED),
                ("BEGIN;CREATE TABLE t ();COMMIT;", None, Mode.OWN_TRANSACTION),
                ("BEGIN;\n\nCOMMIT;", None, Mode.OWN_TRANSACTION),
                ("BEGIN;SELECT 1;COMMIT;SELECT 2;", None, Mode.STATEMENTS),
                ("SELECT 1;VACUUM;", False, Mode.STATEMENTS),
                (
                    "BEGIN;SELECT 1;COMMIT;CREATE INDEX CONCURRENTLY i ON t (a);",
                    False,
                    Mode.STATEMENTS,
                ),
                ("ALTER TYPE m ADD VALUE 'x';INSERT INTO t VALUES ('x');", False, Mode.STATEMENTS),
                ("BEGIN;ALTER TYPE m ADD VALUE 'x';COMMIT;", None, Mode.OWN_TRANSACTION),
            ]
        ),
        *(
            Read(
                "Casts, slices, strings and COPY data are not mistaken for a psql variable.",
                make_files(f"a {SIGNED}", a=sql),
                {"up.obstacle": [None]},
            )
            for sql in (
                "SELECT ':x', ':''y', $$ :z $$ -- :c",
                "SELECT a::text, a[1:n], a [x:y], b := 1, a[1:2]",
                "COPY t FROM stdin;\n:x :'y'\n\\.\n",
            )
        ),
    ],
    refused=[
        *(
            Refused(make_files(*lines, a=SQL), f"sqitch.plan:{message}")
            for lines, message in [
                ([f"-a {SIGNED}"], "4 plans to revert a…"),
                ([f"b [a] {SIGNED}"], "4 requires a, which is not planned above…"),
                ([f"a {SIGNED}", f"b [!a] {SIGNED}"], "5 conflicts with a…"),
                ([f"a [other:b] {SIGNED}"], "4 depends on another project: other:b…"),
                ([f"a {SIGNED}", f"b [a a] {SIGNED}"], '5 has the dependency "a", which…'),
                ([f"a {SIGNED}", f"a {SIGNED}"], "5 has a twice without a tag…"),
                ([f"@v {SIGNED}"], "4 has an invalid tag @v…"),
                ([f"a {SIGNED}", f"@v {SIGNED}", f"@v {SIGNED}"], "6 has the tag @v twice…"),
                ([f"HEAD {SIGNED}"], '4 uses the name "HEAD"…'),
                (["a 2026-01-01 P <p@example.com>"], f"4 {INVALID}"),
                ([f"a~2 {SIGNED}"], f"4 {INVALID}"),
                (
                    [f"b {SIGNED}"],
                    "4 has the change b, whose script deploy/b.sql is missing…",
                ),
            ]
        ),
        Refused(make_files(a=SQL), "…contains no migrations…"),
        Refused({"deploy/a.sql": SQL}, "…sqitch.plan is missing in…"),
        Refused({"sqitch.plan": "%syntax-version=1.0.0\n\n"}, "sqitch.plan:1 has no %project…"),
        Refused({"sqitch.plan": "%project=a:b\n\n"}, 'sqitch.plan:1 has the project "a:b"…'),
        Refused(
            {"sqitch.plan": f"%project=x\na {SIGNED}\n"},
            "sqitch.plan:2 has a line that is not a pragma…",
        ),
        Refused({"sqitch.conf": "[core]\nengine = mysql\n"}, "…is for the engine mysql…"),
        Refused(
            {"sqitch.conf": "[core]\ntop_dir = ../db\n"},
            "…sets top_dir to ../db, which is outside…",
        ),
        Refused(
            {"sqitch.conf": "engine = pg\n"}, "sqitch.conf:1 has a line that is not a setting…"
        ),
        Refused(
            {"sqitch.conf": "[core]\nengine = pg\n\n= pg\n"},
            "sqitch.conf:4 has a line that is not a setting…",
        ),
    ],
    not_run=[
        NotRun(
            make_files(f"a {SIGNED}", a=sql),
            f"deploy/a.sql:{line}: the script uses the psql variable {variable},"
            " which only psql can fill in.",
        )
        for sql, line, variable in [
            ("SELECT 1,\n :'name'", 2, ":'name'"),
            ('CREATE SCHEMA :"registry"', 1, ':"registry"'),
            ("SELECT :limit + 1", 1, ":limit"),
            ("SELECT a[:'x']", 1, ":'x'"),
            ("SELECT 1;\nSELECT :x;", 2, ":x"),
        ]
    ],
    recognised=[
        Recognised({"sqitch.plan": ""}, "it has sqitch.plan"),
        Recognised({"sqitch.conf": ""}, "it has sqitch.conf"),
        Recognised({"deploy/a.sql": SQL, "revert/a.sql": SQL}, None),
    ],
    stubs=[
        Stub(
            make_files(f"a {SIGNED}", a="TABLE sqitch.changes;"),
            "sqitch.changes",
            "CREATE SCHEMA IF NOT EXISTS sqitch",
        )
    ],
    checksums=[
        Checksum(
            "The checksum is the SHA-1 of the script's bytes.",
            {"sqitch.plan": f"%project=p\n\na {SIGNED}\n", "deploy/a.sql": "abc"},
            "a9993e364706816aba3e25717850c26c9cd0d89d",
        )
    ],
    histories=[
        History(
            "The schema may have any name, and a script hash equal to the id is ignored.",
            REGISTRY,
            ForeignHistory(
                "registry.changes",
                (
                    ForeignRow("a1", "lists", AT, group="other"),
                    ForeignRow("f0", "users", AT.replace(second=1), "abc", group="flipr"),
                ),
            ),
        ),
        History(
            "A table with that name but other columns is not used.",
            "CREATE TABLE changes (change_id text)",
            None,
        ),
    ],
    adoptions=[
        Adoption(
            "Only deployed changes of this project are adopted, and the rest stays pending.",
            ADOPTED,
            DEPLOYED,
            adopted=["a"],
            applied=["b"],
        ),
        Adoption(
            "A change with an edited plan line has another id, so its adoption is refused.",
            ADOPTED
            | {
                "sqitch.plan": ADOPTED["sqitch.plan"].replace(
                    "<p@example.com>", "<p@example.com> # new"
                )
            },
            DEPLOYED,
            refused="…which the plan of p does not have…",
        ),
    ],
)
