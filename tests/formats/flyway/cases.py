"""Flyway: names, order, placeholders, settings, refusals, and the history table."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tests.formats.kit import (
    ABSENT,
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

from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Kind
from lockgate.formats.flyway import table as flyway
from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState

SQL = "SELECT 1;\n"
EVERYWHERE = "\ufeff-- ${note}\nSELECT '${a.b}', '$${a.b}', ${empty}1;\n"
TOML = """
[flyway]
environment = "test"
sqlMigrationPrefix = "M"
placeholderPrefix = "{{"
placeholderSuffix = "}}"
[flyway.placeholders]
a = "1"
b = 2
c = "${env.HOST_OF_TEST}"
[environments.test.flyway.placeholders]
a = "one"
"""
NOT_SQL = "is not SQL"
UNSUPPORTED = "which Lockgate does not support."
KNOWN_TO_FLYWAY = "whose value only Flyway knows."
AT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
FAILED = (
    "Flyway recorded that V1__a.sql failed. Complete or remove its changes by hand, delete the row"
    " with flyway repair, and adopt again."
)
# With a Java migration.
FILES = {
    "V1.0__a.sql": "CREATE TABLE a (id int);\n",
    "V2__Fill.java": "class V2__Fill {}\n",
    "V3__c.sql": "CREATE TABLE c (id int);\n",
    "R__v_w.sql": "CREATE OR REPLACE VIEW v AS SELECT 1 AS x;\n",
}

# Version, description, type, checksum and success.
Row = tuple[str | None, str, str, int | None, bool]


def create(table: str) -> str:
    """Return the statements that create Flyway's table."""
    name = re.sub(r"\W", "", table)
    return flyway.TABLE_SQL.format(table=table, constraint=f"{name}_pk", index=f"{name}_idx") + ";"


def make_table(*rows: Row) -> str:
    """Return the statements that create Flyway's table with rows."""
    statements = [create("flyway_schema_history")]
    for rank, (version, description, kind, checksum, success) in enumerate(rows, start=1):
        number = "NULL" if version is None else f"'{version}'"
        statements.append(
            f"INSERT INTO flyway_schema_history VALUES ({rank}, {number}, '{description}', '{kind}',"
            f" '{description}.sql', {'NULL' if checksum is None else checksum},"
            f" 'me', '2024-05-06 07:08:09', 12, {success});"
        )
    return "".join(statements)


def make_history(*rows: tuple[str, str, str | None], baseline: str | None = None) -> ForeignHistory:
    """Return the history of rows with version, name and checksum."""
    applied = tuple(ForeignRow(version, name, AT, checksum) for version, name, checksum in rows)
    return ForeignHistory("public.flyway_schema_history", applied, baseline)


def name_variable(setting: str) -> str:
    """Return the variable that overrides a setting."""
    return "FLYWAY_" + re.sub("([A-Z])", r"_\1", setting).upper()


CASES = Cases(
    "flyway",
    example={
        **dict.fromkeys(("V1__a.sql", "V1_1__b.sql", "R__v.sql"), "CREATE TABLE a ();\n"),
        "V3__c.java": "",
    },
    places=[
        Place({"V1__a.sql": SQL}, path)
        for path in ("V2__b.sql", "V1__a.sql.conf", "flyway.conf", "flyway.toml")
    ],
    table=Table(
        "flyway_schema_history",
        "installed_rank int, version varchar, description varchar, type varchar, script varchar,"
        " checksum int, installed_by varchar, installed_on timestamp, execution_time int,"
        " success boolean",
        "1, '1', 'one', 'SQL', 'V1__one.sql', NULL, 'me', now(), 1, true",
        other="public.other",
        chosen_by={"FLYWAY_TABLE": "other"},
        chosen_in=[{"../flyway.conf": "flyway.table=other\n"}],
    ),
    read=[
        Read(
            "Versions are sorted as numbers across subfolders, repeatables follow, others are ignored.",
            {
                **dict.fromkeys(("R__b.sql", "R__a b.sql", "R__aB.sql", "V2__d.sql"), SQL),
                **dict.fromkeys(("deep/er/V1.10__c.sql", "V1_9__b.sql", "V1__a.sql"), SQL),
                **dict.fromkeys(("seed.sql", "V3_typo.sql"), SQL),
                "README.md": "#",
            },
            {"migration_id": ["1", "1.9", "1.10", "2", "R__a b", "R__aB", "R__b"]},
        ),
        Read(
            "An undo script belongs to its version, in any spelling and with any description.",
            {"V1_0__create.sql": SQL, "undo/U1__drop.sql": "SELECT 2;\n"},
            {
                "migration_id": ["1"],
                "name": ["create"],
                "kind": [Kind.VERSIONED],
                "path": ["V1_0__create.sql"],
                "down.path": ["undo/U1__drop.sql"],
            },
        ),
        Read(
            "Comments and strings are filled in too; the checksum is that of the text in the file.",
            {
                "V1__a.sql": EVERYWHERE,
                "flyway.conf": "# ours\nflyway.placeholders.note = over $ {\n"
                "flyway.placeholders.empty=\n",
            },
            {
                "up.text": [EVERYWHERE[1:]],
                "up.checksum": [text_checksum(EVERYWHERE)],
                "up.sql": ["-- over $ {\nSELECT 'secret', '$secret', 1;\n"],
                "up.hidden": [("over $ {", "secret")],
            },
            variables={"FLYWAY_PLACEHOLDERS_A.B": "secret"},
        ),
        Read(
            "A variable takes precedence over a file, and names of placeholders ignore case.",
            {
                "V1__a.sql": "SELECT '${owner} ${OWNER}';",
                "../flyway.conf": "flyway.placeholders.owner=file\n",
            },
            {"up.sql": ["SELECT 'variable variable';"]},
            variables={"FLYWAY_PLACEHOLDERS_OWNER": "variable"},
        ),
        Read(
            "The chosen environment overrides common placeholders; ${env.X} is a variable.",
            {"M1__a.sql": "SELECT '{{a}}{{b}}{{c}} ${x}';", "flyway.toml": TOML},
            {"up.sql": ["SELECT 'one2here ${x}';"]},
            variables={"HOST_OF_TEST": "here"},
        ),
        Read(
            "File name, table and default schema are filled in without Flyway.",
            {"x/V1__a.sql": "-- ${flyway:filename} ${flyway:table} ${flyway:defaultSchema}\n"},
            {"up.sql": ["-- V1__a.sql log public\n"], "up.hidden": [()]},
            variables={"FLYWAY_DEFAULT_SCHEMA": "public", "FLYWAY_TABLE": "log"},
        ),
        Read(
            "A Java migration keeps its place in the order.",
            {"V1__a.sql": SQL, "x/V2__Fill_all.java": "class", "U1__a.class": "x"},
            {
                "migration_id": ["1", "2"],
                "name": ["a", "Fill all"],
                "path": ["V1__a.sql", "x/V2__Fill_all.java"],
                "up.obstacle.why": [ABSENT, NOT_SQL],
                "down.obstacle.why": [NOT_SQL, ABSENT],
            },
        ),
        *(
            Read(
                "Settings turn replacement off for all files, a script configuration for one.",
                {"V1__a.sql": "SELECT '${x}';", **files},
                {"up.substituted": [None]},
                variables=variables,
            )
            for files, variables in [
                ({"flyway.conf": "flyway.placeholderReplacement=false"}, {}),
                ({}, {"FLYWAY_PLACEHOLDER_REPLACEMENT": "false"}),
                ({"V1__a.sql.conf": "placeholderReplacement=false"}, {}),
            ]
        ),
        Read(
            "Variables override files, so a refused setting can be reset without editing a file.",
            {
                "V1__a.sql": SQL,
                "flyway.conf": "flyway.target=3\nflyway.url=jdbc:postgresql://x/y\n",
            },
            {"migration_id": ["1"]},
            variables={"FLYWAY_TARGET": "latest"},
        ),
        *(
            Read(
                "The script configuration is a file with the script's name and the suffix .conf.",
                {"V1__a.sql": SQL, "V1__a.sql.conf": settings},
                {"up.options.transaction": [expected]},
            )
            for settings, expected in [
                ("executeInTransaction=false", False),
                ("executeInTransaction=true", True),
                ("encoding=UTF-8\n", None),
                ("# nothing\n", None),
            ]
        ),
        *(
            Read(
                "A script with a false condition is left out with its undo script, as in Flyway.",
                {
                    "V1__a.sql": SQL,
                    "U1__a.sql": SQL,
                    "V1__a.sql.conf": f"shouldExecute={condition}",
                    "V2__b.sql": SQL,
                },
                {"migration_id": expected},
                variables={"FLYWAY_PLACEHOLDERS_STAGE": "test"},
            )
            for condition, expected in [
                ("true", ["1", "2"]),
                ("false", ["2"]),
                ("${stage}==test", ["1", "2"]),
                ("${stage} == live", ["2"]),
                ("${stage}!=live", ["1", "2"]),
            ]
        ),
        Read(
            "flyway.mixed affects only files with a statement that cannot run in a transaction.",
            {
                "V1__a.sql": "CREATE TABLE a (b int);\nCREATE INDEX CONCURRENTLY c ON a (b);",
                "V2__b.sql": SQL,
            },
            {"up.options.transaction": [False, None]},
            variables={"FLYWAY_MIXED": "true"},
        ),
    ],
    refused=[
        Refused(
            {"V1__a.sql": SQL, "V1.0__b.sql": SQL},
            "Two files have version 1: V1.0__b.sql and V1__a.sql.",
        ),
        Refused(
            {"R__a_b.sql": SQL, "x/R__a b.sql": SQL},
            "Two files have version R__a b: R__a_b.sql and x/R__a b.sql.",
        ),
        Refused(
            {"V1__a.sql": SQL, "U1__a.sql": SQL, "U1.0__b.sql": SQL},
            "U1__a.sql undoes version 1, and so does U1.0__b.sql.",
        ),
        Refused(
            {"V1__a.sql": SQL, "U2__b.sql": SQL}, "U2__b.sql has a down script but no up script."
        ),
        Refused(
            {"V1__a.sql": SQL, "B1__all.sql": SQL},
            "B1__all.sql is a baseline migration: Flyway runs it only on a new database.",
        ),
        Refused(
            {"V1__a.sql": SQL, "afterMigrate.sql": SQL},
            "afterMigrate.sql is a callback, which Lockgate does not run.",
        ),
        Refused(
            {"V1__a.sql": SQL, "beforeMigrate.sh": "true"},
            "beforeMigrate.sh is a callback, which Lockgate does not run.",
        ),
        Refused({"V1__a.sql": SQL, "R__seed.py": "print()"}, "R__seed.py:1 is not SQL."),
        Refused(
            {"V1__a.sql": SQL, "R__now.sql": "-- ${flyway:timestamp}"},
            f"R__now.sql:1 has the placeholder ${{flyway:timestamp}}, {KNOWN_TO_FLYWAY}",
        ),
        # Ignoring a setting that changes what runs would build another schema.
        *(
            Refused({"V1__a.sql": SQL, "flyway.conf": settings}, f"flyway.conf:{message}")
            for settings, message in [
                ("\nflyway.target=3", f"2 sets flyway.target, {UNSUPPORTED}"),
                ("flyway.initSql=SET x=1", f"1 sets flyway.initSql, {UNSUPPORTED}"),
                ("flyway.schemas=a,b", f"1 sets flyway.schemas, {UNSUPPORTED}"),
                (
                    "flyway.baselineOnMigrate = true",
                    f"1 sets flyway.baselineOnMigrate, {UNSUPPORTED}",
                ),
                (
                    "flyway.locations=filesystem:a,\\\n  filesystem:b",
                    "1 sets flyway.locations to several folders, and Lockgate reads only one.",
                ),
                ("flyway.mixed=yes", '1: mixed cannot be "yes"; it takes true or false.'),
                ("flyway.encoding=ISO-8859-1", f"1 sets flyway.encoding, {UNSUPPORTED}"),
            ]
        ),
        # Every setting that the page lists, with a hint how to override it.
        *(
            Refused(
                {"V1__a.sql": SQL, "flyway.conf": f"flyway.{name}=other"},
                f"flyway.conf:1 sets flyway.{name}, {UNSUPPORTED}",
                f"…{name_variable(name)}=…",
            )
            for name in (
                *("target", "cherryPick", "skipExecutingMigrations", "initSql", "callbacks"),
                *("resolvers", "errorOverrides", "delimiter", "encoding", "defaultSchema"),
                *("schemas", "baselineOnMigrate"),
            )
        ),
        Refused(
            {"V1__a.sql": SQL, "flyway.toml": '[flyway]\n\ntarget = "3"\n'},
            f"flyway.toml:3 sets flyway.target, {UNSUPPORTED}",
        ),
        Refused(
            {"V1__a.sql": SQL, "flyway.toml": "", "../flyway.conf": ""},
            "…is not the only file of settings…",
        ),
        *(
            Refused({"V1__a.sql": SQL, "V1__a.sql.conf": settings}, f"V1__a.sql.conf:{message}")
            for settings, message in [
                (
                    "\nshouldExecute=(a==b)&&true",
                    "2 has a condition in shouldExecute that Lockgate does not evaluate.",
                ),
                ("encoding=latin1", "1 sets an encoding other than UTF-8."),
                ("transaction=false", "1 has the key transaction, which Flyway does not know."),
                (
                    "executeInTransaction=no",
                    '1: executeInTransaction cannot be "no"; it takes true or false.',
                ),
            ]
        ),
        Refused(
            {"V1__a.sql": SQL, "V2_b.sql": SQL},
            "V2_b.sql…",
            variables={"FLYWAY_VALIDATE_MIGRATION_NAMING": "true"},
        ),
    ],
    not_run=[
        NotRun(
            {"V1__a.sql": text},
            f"V1__a.sql:{line}: the script has the placeholder {why}",
            variables={"FLYWAY_PLACEHOLDERS_LINES": "a\nb"},
        )
        for text, line, why in [
            ("\n\n-- ${x}\n", 3, "${x}, which has no value."),
            ("SELECT '${x", 1, "${x, which has no value."),
            ("\r\n${lines}", 2, "${lines}, whose value has several lines."),
            ("${flyway:user}", 1, f"${{flyway:user}}, {KNOWN_TO_FLYWAY}"),
            ("${flyway:defaultSchema}", 1, f"${{flyway:defaultSchema}}, {KNOWN_TO_FLYWAY}"),
        ]
    ],
    recognised=[
        # One versioned name is enough: the names of other tools do not match it.
        Recognised(
            {"a.sql": SQL, "db/V1__a.sql": SQL},
            "db/V1__a.sql has the name of a Flyway migration",
        ),
        Recognised({"R__a.sql": SQL, "0001_a.sql": SQL}, None),
        Recognised({"V1__a.sql": "--liquibase formatted sql\n"}, None),
    ],
    stubs=[
        Stub(
            {"V1__a.sql": "DELETE FROM flyway_schema_history WHERE version = '0';"},
            "flyway_schema_history",
            flyway.TABLE_SQL.format(
                table='"flyway_schema_history"',
                constraint='"flyway_schema_history_pk"',
                index='"flyway_schema_history_s_idx"',
            ),
        ),
        Stub({"V1__a.sql": SQL}, None),
    ],
    histories=[
        History("A database that Flyway never used has no Flyway table.", "", None),
        History(
            "The table is found by its columns, whatever name the settings gave it.",
            f"CREATE SCHEMA a; {create('a.older')}",
            ForeignHistory("a.older", ()),
        ),
        History(
            "Of two tables, none is chosen.",
            f"CREATE SCHEMA a; {create('a.older')} {create(chr(34) + 'My log' + chr(34))}",
            None,
        ),
        History(
            "Rows get the catalog's ids and aware times; rows about schemas are left out.",
            make_table(
                (None, "<< Flyway Schema Creation >>", "SCHEMA", None, True),
                ("1.0", "create", "SQL", 675033696, True),
                ("1.2.3", "fill", "SQL", -1, True),
                (None, "my view", "SQL", 7, True),
            ),
            make_history(
                ("1", "create", "675033696"),
                ("1.2.3", "fill", "-1"),
                ("R__my view", "my view", "7"),
            ),
        ),
        *(
            History(
                "Both a declared baseline and a baseline migration set the baseline version.",
                make_table(("3.0", "base", kind, None, True), ("4", "x", "SQL", 1, True)),
                make_history(("4", "x", "1"), baseline="3"),
            )
            for kind in ("BASELINE", "SQL_BASELINE")
        ),
        History(
            "An undone migration is not applied.",
            make_table(
                ("1", "a", "SQL", 1, True),
                ("2", "b", "SQL", 2, True),
                ("2", "b", "UNDO_SQL", 3, True),
            ),
            make_history(("1", "a", "1")),
        ),
        History(
            "A migration that was applied again after it was undone is applied.",
            make_table(
                ("1", "a", "SQL", 1, True),
                ("1", "a", "UNDO_SQL", 3, True),
                ("1", "a", "SQL", 4, True),
            ),
            make_history(("1", "a", "4")),
        ),
        History(
            "A deleted migration is not applied.",
            make_table(("1", "a", "SQL", 1, True), ("1", "a", "DELETE", 1, True)),
            make_history(),
        ),
        History(
            "The last run of a repeatable counts.",
            make_table((None, "v", "SQL", 1, True), (None, "v", "SQL", 2, True)),
            make_history(("R__v", "v", "2")),
        ),
        History(
            "A deleted repeatable is not applied.",
            make_table((None, "v", "SQL", 1, True), (None, "v", "DELETE", 1, True)),
            make_history(),
        ),
        History(
            "A failed row blocks adoption and explains how to fix it.",
            make_table(("1", "V1__a", "SQL", 1, False)),
            ForeignHistory(
                "public.flyway_schema_history",
                (ForeignRow("1", "V1__a", AT, "1", ForeignState.FAILED, FAILED),),
            ),
        ),
    ],
    adoptions=[
        Adoption(
            "Java migrations count with (2) or without (2.5) a file; a deleted view does not.",
            FILES,
            "CREATE TABLE a (id int); CREATE VIEW v AS SELECT 1 AS x;"
            + make_table(
                ("1.0", "a", "SQL", flyway.crc32(FILES["V1.0__a.sql"]), True),
                ("2", "Fill", "JDBC", None, True),
                ("2.5", "Elsewhere", "SPRING_JDBC", None, True),
                (None, "v w", "SQL", flyway.crc32(FILES["R__v_w.sql"]), True),
                (None, "was deleted", "SQL", 7, True),
            ),
            adopted=["1", "2", "R__v w"],
            applied=["3"],
        ),
        Adoption(
            "A file that was edited after Flyway applied it blocks adoption.",
            FILES,
            make_table(("1", "a", "SQL", 12345, True)),
            refused="Files were edited after flyway applied them…",
        ),
    ],
)
