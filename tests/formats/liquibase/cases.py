"""Liquibase: changesets, their order and text, rollbacks, parameters, refusals, the history table."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.formats.kit import (
    ABSENT,
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

from lockgate.core.catalog import Order
from lockgate.core.migration import Kind
from lockgate.formats.liquibase.table import TABLE_SQL
from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState

HEAD = "--liquibase formatted sql\n"
ONE = f"{HEAD}--changeset ann:1\nSELECT 1;\n"
INSTRUCTIONS = """--changeset ann:1
--comment what it is
--validCheckSum: any
-- stays
CREATE TABLE a (id int);
--rollback DROP TABLE a;
--ignoreLines:start
nonsense
--ignoreLines:end
--ignoreLines:1
nonsense
"""
PARAMETERS = {
    "a.sql": f"""{HEAD}--property name:env value:file
--property name:a value:one
--property name:a value:two
--property name:here value:a global:false
--property name:ora value:x dbms:oracle
--property name:b value:${{a}}b
--changeset a:1
SELECT '${{env}} ${{ENV}} ${{ a }} ${{b}} ${{here}} ${{ora}} ${{later}} ${{}} ${{:a}} ${{x${{a}}}} $$';
--changeset a:2
SELECT '${{later}}';
--property name:later value:l
""",
    "b.sql": f"{HEAD}--changeset b:1\nSELECT '${{a}} ${{here}}';\n",
}
XML = """<?xml version="1.0" encoding="UTF-8"?>
<databaseChangeLog xmlns="http://www.liquibase.org/xml/ns/dbchangelog">
  <!-- order matters -->
  <property name="t" value="${{a}}"/>
  <include file="db/changelog/two.sql"/>
  <include file="one.sql" relativeToChangelogFile="true" context="x"/>
  <includeAll path="more/" relativeToChangelogFile="true"/>
  {more}
</databaseChangeLog>
"""
YAML = """# the root
databaseChangeLog:
  - include:
      file: db/changelog/two.sql
  - include:
      file: "one.sql" # here
      relativeToChangelogFile: true
  - includeAll:
      path: 'more/'
      relativeToChangelogFile: true
"""
JSON = """{"databaseChangeLog": [
  {"include": {"file": "classpath:/db/changelog/two.sql"}},
  {"include": {"file": "one.sql", "relativeToChangelogFile": true}},
  {"includeAll": {"path": "db/changelog/more"}}
]}
"""
ONLY_INCLUDES = "and Lockgate only supports include, includeAll and property there."
REFUSED_LINE = "is a line that Liquibase refuses."
LOG = "public.databasechangelog"
AT = datetime(2024, 5, 6, tzinfo=UTC)
# As stored in the tables of Liquibase 4.4.0 (8:) and 4.28.0 (9:).
TABLE_CHANGESET = """ann:1
-- a comment in front
CREATE TABLE a (id int, -- trailing
  s text DEFAULT 'x;y');
/* block */
INSERT INTO a VALUES (1, '-- no comment');
--rollback DROP TABLE a;
"""
FUNCTION_CHANGESET = """ann:fn splitStatements:false
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  -- keep me
  RETURN 1; /* and me */
END $$;
--rollback DROP FUNCTION f();
"""


def log(text: str) -> dict[str, str]:
    """Return a folder with one changelog."""
    return {"log.sql": HEAD + text}


def make_table(*rows: tuple[str, str]) -> str:
    """Return the statements that create Liquibase's tables with rows of id and execution type."""
    inserts = (
        "INSERT INTO databasechangelog (id, author, filename, dateexecuted, orderexecuted, exectype,"
        f" md5sum) VALUES ('{one}', 'ann', 'db/log.sql', '2024-05-06', {order}, '{kind}', '9:ab');"
        for order, (one, kind) in enumerate(rows, start=1)
    )
    return TABLE_SQL + ";" + "".join(inserts)


def make_row(version: str, state: ForeignState = ForeignState.APPLIED) -> ForeignRow:
    """Return a row of a changeset in db/log.sql."""
    return ForeignRow(f"db/log.sql::{version}::ann", "", AT, "9:ab", state)


CASES = Cases(
    "liquibase",
    example={
        "root.xml": "<databaseChangeLog/>",
        "V1__a.sql": f"{HEAD}--changeset ann:1\nCREATE TABLE a ();\n",
    },
    places=[
        Place({}, "a.sql"),
        Place({}, "changelog.xml"),
        Place({"a.sql": HEAD}, "liquibase.properties"),
    ],
    table=Table(
        "databasechangelog",
        "id varchar, author varchar, filename varchar, dateexecuted timestamp, orderexecuted int,"
        " exectype varchar, md5sum varchar",
        "'1', 'me', 'one.sql', now(), 1, 'EXECUTED', NULL",
        chosen_by={"LIQUIBASE_LIQUIBASE_SCHEMA_NAME": "app"},
        chosen_in=[{"../liquibase.properties": "liquibaseSchemaName=app\n"}],
    ),
    read=[
        Read(
            "Changesets are identified by path, id and author, and keep the order of the file.",
            log(
                "\n--changeset bob:2\nSELECT 2;\n-- changeset ann:1 labels:a context:prod\nSELECT 1;\n"
                '  --CHANGESET "my name":"an id"\nSELECT 3;\n'
            ),
            {"migration_id": ["log.sql::2::bob", "log.sql::1::ann", "log.sql::an id::my name"]},
            order=Order.LIST,
        ),
        Read(
            "Instructions become empty lines, so that other lines keep their numbers.",
            log(INSTRUCTIONS),
            {
                "up.text": [
                    (
                        "--changeset ann:1\n\n--validCheckSum: any\n-- stays\nCREATE TABLE a (id int);\n"
                        "\n\n\n\n\n\n"
                    )
                ],
                "up.first_line": [2],
                "up.substituted": [None],
            },
        ),
        *(
            Read(
                "A changeset that Liquibase skips on PostgreSQL is left out, whatever else it has.",
                log(f"--changeset a:1 {attributes}\nSELECT 1;\n--changeset a:2\nSELECT 2;\n"),
                {
                    "migration_id": [*["log.sql::1::a"][: len(kinds)], "log.sql::2::a"],
                    "kind": [*kinds, Kind.VERSIONED],
                    "up.options.transaction": [*[transaction][: len(kinds)], None],
                },
            )
            for attributes, kinds, transaction in [
                ("", [Kind.VERSIONED], None),
                ("runOnChange:true", [Kind.REPEATABLE], None),
                ("runOnChange:false runInTransaction:false", [Kind.VERSIONED], False),
                ("RUNONCHANGE:TRUE runInTransaction:no", [Kind.REPEATABLE], False),
                ("context:@none dbms:oracle", [], None),
                ("ignore:true runAlways:true", [], None),
                ("dbms:!oracle,!h2", [Kind.VERSIONED], None),
            ]
        ),
        Read(
            "The file's path applies to all its changesets, a changeset's own only to itself.",
            {
                "log.sql": "--liquibase formatted sql logicalFilePath:classpath:/logical/a.sql\n"
                "--changeset a:1\nSELECT 1;\n--changeset a:2 logicalFilePath:b.sql\nSELECT 2;\n"
            },
            {"migration_id": ["logical/a.sql::1::a", "b.sql::2::a"]},
        ),
        Read(
            "Of a rollback, the instruction becomes spaces: lines and columns stay those of the file.",
            log("--changeset a:1\nSELECT 1;\n--rollback DROP\n\n-- rollback   TABLE a;\n"),
            {
                "down.text": ["           DROP\n\n              TABLE a;"],
                "down.first_line": [4],
            },
        ),
        Read(
            "A rollback block ends with its comment and keeps its line ends.",
            log(
                "--changeset a:1\nSELECT 1;\n/* liquibase rollback\nDROP TABLE\na;\nSELECT 2; */\n"
            ),
            {"down.text": ["DROP TABLE\na;\nSELECT 2; "], "down.first_line": [5]},
        ),
        *(
            Read(
                "A rollback that is declared unnecessary is a down script that does nothing.",
                log(f"--changeset a:1\nSELECT 1;\n--rollback {words}\n"),
                {"down.text": ["SELECT 1; -- nothing to undo"]},
            )
            for words in ("not required", "NOT REQUIRED here", "empty")
        ),
        Read(
            "A changeset without a rollback has no down script.",
            log("--changeset a:1\nSELECT 1;\n"),
            {"down": [None]},
        ),
        Read(
            "A rollback can run another changeset again, for example to undo a DROP.",
            {
                "a.sql": f"{HEAD}--changeset a:1\nCREATE TABLE a (id int);\n",
                "b.sql": f"{HEAD}--changeset a:1\nDROP TABLE a;\n"
                "--rollback changesetId:1 changesetAuthor:a changesetPath:a.sql\n",
            },
            {
                "migration_id": ["a.sql::1::a", "b.sql::1::a"],
                "up.text": [
                    "--changeset a:1\nCREATE TABLE a (id int);\n",
                    "--changeset a:1\nDROP TABLE a;\n\n",
                ],
                "down.text": [ABSENT, "--changeset a:1\nCREATE TABLE a (id int);\n"],
                "down.path": [ABSENT, "a.sql"],
                "down.first_line": [ABSENT, 2],
            },
        ),
        *(
            Read(
                "Comments in bodies are removed unless stripComments is false.",
                log(f"--changeset a:1 {attributes}\nDO $$BEGIN -- c\nEND$$;\n"),
                {"up.sql": [f"--changeset a:1 {attributes}\nDO $$BEGIN {comment}\nEND$$;\n"]},
            )
            for attributes, comment in [
                ("", ""),
                ("stripComments:false", "-- c"),
                ("splitStatements:false", ""),
            ]
        ),
        Read(
            "The environment counts before the first matching property; case and spaces do not.",
            PARAMETERS,
            {
                "up.sql": [
                    (
                        "--changeset a:1\nSELECT 'outside outside one oneb a ${ora} ${later} ${} ${:a}"
                        " ${xone} $$';"
                    ),
                    "--changeset a:2\nSELECT 'l';\n\n",
                    "--changeset b:1\nSELECT 'one ${here}';\n",
                ],
                "up.hidden": [("a", "one", "oneb", "outside"), ("l",), ("one",)],
            },
            variables={"ENV": "outside"},
        ),
        Read(
            "Without a root changelog, files are sorted by path, capitals first, as includeAll does.",
            {"b.sql": ONE, "a/z.sql": ONE, "B.sql": ONE, "a.sql": ONE, "notes.txt": ""},
            {
                "migration_id": [
                    *("B.sql::1::ann", "a.sql::1::ann", "a/z.sql::1::ann", "b.sql::1::ann")
                ]
            },
        ),
        *(
            Read(
                "The root chooses files and paths; a plain SQL file is a single changeset.",
                {
                    root: text,
                    "one.sql": ONE,
                    "two.sql": ONE,
                    "left.sql": "SELECT 'not included';",
                    "more/c.sql": ONE,
                    "more/b/plain.sql": "SELECT '${a}'; -- as it is\n",
                },
                {
                    "migration_id": [
                        "db/changelog/two.sql::1::ann",
                        "db/changelog/one.sql::1::ann",
                        "db/changelog/more/b/plain.sql::raw::includeAll",
                        "db/changelog/more/c.sql::1::ann",
                    ],
                    "up.sql": [
                        *["--changeset ann:1\nSELECT 1;\n"] * 2,
                        "SELECT '${a}'; -- as it is\n",
                        "--changeset ann:1\nSELECT 1;\n",
                    ],
                },
                variables={"A": "v"},
            )
            for root, text in [
                ("root.xml", XML.format(more="")),
                ("root.yaml", YAML),
                ("root.json", JSON),
            ]
        ),
        Read(
            "The changelog that no other one includes is the root.",
            {
                "all.yaml": "databaseChangeLog:\n- include:\n    file: v1/v1.yaml\n",
                "v1/v1.yaml": "databaseChangeLog:\n- includeAll:\n    path: v1/sql\n",
                "v1/sql/a.sql": ONE,
            },
            {"migration_id": ["v1/sql/a.sql::1::ann"]},
        ),
        Read(
            "liquibase.properties, in the folder or beside it, sets the root and parameters.",
            {
                "../liquibase.properties": "changeLogFile=changelog/b.yaml\nparameter.t: given\n",
                "a.yaml": "databaseChangeLog:\n- include:\n    file: a.sql\n",
                "b.yaml": "databaseChangeLog:\n- include:\n    file: b.sql\n",
                "a.sql": ONE,
                "b.sql": f"{HEAD}--changeset b:1\nSELECT '${{t}}';\n",
            },
            {
                "migration_id": ["b.sql::1::b"],
                "up.sql": ["--changeset b:1\nSELECT 'given';\n"],
            },
        ),
        Read(
            "A comment counts as SQL.",
            log("--changeset a:1\n-- only\n--changeset a:2\nSELECT 1;"),
            {"migration_id": ["log.sql::1::a", "log.sql::2::a"]},
        ),
        Read(
            "A preconditions line without a condition is ignored.",
            log("--changeset a:1\n--preconditions onFail:HALT\nSELECT 1;"),
            {"up.obstacle": [None], "up.text": ["--changeset a:1\n\nSELECT 1;"]},
        ),
    ],
    refused=[
        *(
            Refused(log(text), f"log.sql:{message}")
            for text, message in [
                (
                    "--changeset a:1 runAlways:true\nSELECT 1;",
                    "2 has a changeset that runs each time; Lockgate runs one again only if it changed.",
                ),
                (
                    "--changeset a:1 contextFilter:@live\nSELECT 1;",
                    "2 has the context @live, which runs only on request.",
                ),
                ("--changeset a\nSELECT 1;", f"2 {REFUSED_LINE}"),
                ("--changeset a: 1\nSELECT 1;", f"2 {REFUSED_LINE}"),
                ("--changeset a:1\nSELECT 1;\n--rollback\tX;", f"4 {REFUSED_LINE}"),
                (
                    "--changeset a:1\n\n--changeset a:2\nSELECT 1;",
                    "2 has a changeset without SQL.",
                ),
                (
                    "SELECT 0;\n--changeset a:1\nSELECT 1;",
                    "2 has SQL above the first changeset, which Liquibase would not run.",
                ),
                (
                    "--changeset a:1\nSELECT 1;\n--changeset a:1\nSELECT 2;",
                    "4 has the changeset log.sql::1::a again; it is already in log.sql:2.",
                ),
                (
                    "--changeset a:1\nSELECT 1;\n--rollback changesetId:9 changesetAuthor:a",
                    "4 has a rollback that names a changeset which is not above it.",
                ),
                (
                    "--changeset a:1\nSELECT 1;\n/* liquibase rollback\nSELECT 2;",
                    "4 has a rollback block without an end.",
                ),
            ]
        ),
        *(
            Refused({"one.sql": ONE, "two.sql": ONE, "more/a.sql": ONE, **files}, message)
            for files, message in [
                (
                    {"r.xml": XML.format(more='<changeSet id="1" author="a"/>')},
                    f"r.xml:8 has changeSet, {ONLY_INCLUDES}",
                ),
                (
                    {
                        "r.yaml": "databaseChangeLog:\n"
                        "- changeSet:\n    id: 1\n    changes:\n    - x: |\n"
                    },
                    f"r.yaml:2 has changeSet, {ONLY_INCLUDES}",
                ),
                (
                    {"r.json": '{"databaseChangeLog": [{"preConditions": []}]}'},
                    f"r.json has preConditions, {ONLY_INCLUDES}",
                ),
                (
                    {
                        "r.xml": "<databaseChangeLog>\n"
                        '<includeAll path="a" filter="x.Y"/></databaseChangeLog>'
                    },
                    "r.xml:2 has includeAll with filter, which Lockgate does not support.",
                ),
                (
                    {"r.xml": "<databaseChangeLog>\n<a></databaseChangeLog>"},
                    "r.xml:2 is not XML.",
                ),
                ({"r.json": '{"databaseChangeLog": '}, "r.json:1 is not JSON."),
                (
                    {"r.yaml": "databaseChangeLog:\n- include: {file: a.sql}\n"},
                    "r.yaml:2 is YAML that Lockgate does not support.",
                ),
                (
                    {"r.xml": "<!DOCTYPE x>\n<databaseChangeLog/>"},
                    f"r.xml:1 has a DOCTYPE, {ONLY_INCLUDES}",
                ),
                (
                    {"a.sql": ONE, "raw.sql": "SELECT 1;"},
                    (
                        "raw.sql does not begin with --liquibase formatted sql,"
                        " and no root changelog includes it."
                    ),
                ),
                (
                    {"a.yaml": "databaseChangeLog:\n", "b.yaml": "databaseChangeLog:\n"},
                    "a.yaml is not the only changelog that may be the root: a.yaml, b.yaml.",
                ),
                (
                    {
                        "a.sql": ONE,
                        "liquibase.properties": "\nliquibase.command.contexts=test\n",
                    },
                    (
                        "liquibase.properties:2 sets liquibase.command.contexts,"
                        " which Lockgate does not support."
                    ),
                ),
                ({"a.yaml": "databaseChangeLog:\n- include:\n    file: ../a.yaml\n"}, "…"),
            ]
        ),
        Refused(
            {"a.sql": ONE},
            "LIQUIBASE_COMMAND_LABEL_FILTER…",
            variables={"LIQUIBASE_COMMAND_LABEL_FILTER": "x"},
        ),
    ],
    not_run=[
        NotRun(log(text), f"log.sql:{line}: the script {why}.", variables={"LINES": "a\nb"})
        for text, line, why in [
            (
                "--changeset a:1\n--precondition-sql-check expectedResult:0 SELECT 1\nSELECT 1;",
                3,
                "has a precondition, which Lockgate does not check",
            ),
            (
                "\n--changeset a:1 failOnError:false\nSELECT 1;",
                3,
                "may fail and still count as applied, because of failOnError:false",
            ),
            (
                "--changeset a:1 runWith:psql\nSELECT 1;",
                2,
                "has runWith:psql, but Lockgate runs all SQL itself",
            ),
            (
                "--changeset a:1 endDelimiter:(;|/)\nSELECT 1;",
                2,
                "has the end delimiter (;|/), which is a regular expression",
            ),
            (
                "--changeset a:1\nSELECT 1,\n'${database.typeName}';",
                4,
                "has the parameter ${database.typeName}, whose value only Liquibase knows",
            ),
            (
                "--changeset a:1\nSELECT '${lines}';",
                3,
                "has the parameter ${lines}, whose value has several lines",
            ),
        ]
    ],
    recognised=[
        # The first line counts, whatever the file names.
        Recognised(
            {"V1__a.sql": f"\ufeff\n {ONE}"},
            "V1__a.sql has the line --liquibase formatted sql",
        ),
        Recognised({"a.sql": "-- formatted by hand\nSELECT 1;\n"}, None),
    ],
    stubs=[
        Stub(
            log("--changeset a:1\nDELETE FROM DATABASECHANGELOG;\n"), "databasechangelog", TABLE_SQL
        ),
        Stub({"log.sql": ONE}, None),
    ],
    checksums=[
        *(
            Checksum(
                "A file matches the older and the newer kind of checksum.",
                {"a.sql": f"{HEAD}--changeset {changeset}"},
                newer,
                accepted=[older, newer],
                refused=["8:" + "0" * 32, "9:" + "0" * 32],
            )
            for changeset, older, newer in [
                (
                    TABLE_CHANGESET,
                    "8:1057dafec623c1bc40ca677f837e47c5",
                    "9:71c1667a4f50531de85a66a9d9dbf706",
                ),
                (
                    FUNCTION_CHANGESET,
                    "8:1871276c71791fbe3853b25e8e12d95f",
                    "9:c40d9d68f0bdaa7d0c87cb09e27327e4",
                ),
            ]
        ),
    ],
    histories=[
        History("A database that Liquibase never used has no such table.", "", None),
        History(
            "An empty table has no rows and no problem.", make_table(), ForeignHistory(LOG, ())
        ),
        History(
            "Rows are in order of execution and have the catalog's ids.",
            make_table(("2", "EXECUTED"), ("1", "RERAN"), ("x::y", "MARK_RAN")),
            ForeignHistory(LOG, tuple(map(make_row, ("2", "1", "x::y")))),
        ),
        History(
            "A held lock is reported with the command that releases it.",
            make_table()
            + "INSERT INTO databasechangeloglock VALUES (1, true, '2024-05-06 07:08:09', 'host')",
            ForeignHistory(
                LOG,
                (),
                problem="host has held its lock since 2024-05-06 07:08:09."
                " If no run is left there, run: liquibase release-locks.",
            ),
        ),
    ],
)
