"""Read Liquibase's formatted SQL: changesets, their order and text, and what Lockgate refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.core.catalog import Order, TableStub
from lockgate.core.migration import Kind, Migration
from lockgate.core.request import Action
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.liquibase.parameters import is_for_database
from lockgate.formats.liquibase.reader import read_folder, recognise
from lockgate.formats.liquibase.table import TABLE_SQL
from lockgate.formats.liquibase.text import (
    DelimiterUnusable,
    read_delimiters,
    replace_delimiters,
    strip_body_comments,
)
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.project import Project

    from lockgate.core.catalog import Catalog

    Read = Callable[..., Catalog]
    ReadOne = Callable[..., Migration]
    Fail = Callable[..., MigrationFileInvalid]

HEAD = "--liquibase formatted sql\n"
ONE = f"{HEAD}--changeset ann:1\nSELECT 1;\n"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Give a function that writes files and reads the folder; ../ names files beside it."""

    def write_and_read(files: dict[str, str], **variables: str) -> Catalog:
        folder = tmp_path / "project" / "changelog"
        folder.mkdir(parents=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode())
        return read_folder(folder, variables)

    return write_and_read


@pytest.fixture
def read_one(read: Read) -> ReadOne:
    """Give a function that reads a file with one changeset."""

    def write_and_read(text: str, **variables: str) -> Migration:
        (migration,) = read({"log.sql": HEAD + text}, **variables).migrations
        return migration

    return write_and_read


@pytest.fixture
def refuse(read: Read) -> Fail:
    """Give a function that returns the error raised for the files."""

    def write_and_fail(files: dict[str, str], **variables: str) -> MigrationFileInvalid:
        with pytest.raises(MigrationFileInvalid) as caught:
            read(files, **variables)
        return caught.value

    return write_and_fail


def ids_of(catalog: Catalog) -> list[str]:
    """Return the ids in order."""
    return [migration.migration_id for migration in catalog.migrations]


# Changesets.


def test_changesets_keep_the_order_of_the_file(read: Read) -> None:
    """Changesets are identified by path, id and author, and keep the order of the file."""
    catalog = read(
        {
            "log.sql": f"""{HEAD}
--changeset bob:2
SELECT 2;
-- changeset ann:1 labels:a context:prod
SELECT 1;
  --CHANGESET "my name":"an id"
SELECT 3;
"""
        }
    )
    expected = ["log.sql::2::bob", "log.sql::1::ann", "log.sql::an id::my name"]
    assert (Order.LIST, expected) == (catalog.order, ids_of(catalog))


def test_text_is_the_changeset_with_its_instructions_left_empty(read_one: ReadOne) -> None:
    """Instructions become empty lines, so that other lines keep their numbers."""
    migration = read_one(
        """--changeset ann:1
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
    )
    sql = "-- stays\nCREATE TABLE a (id int);\n"
    expected = f"--changeset ann:1\n\n--validCheckSum: any\n{sql}\n\n\n\n\n\n"
    assert (expected, 2, None) == (
        migration.up.text,
        migration.up.first_line,
        migration.up.substituted,
    )


def test_rollback_does_not_count_in_the_checksum(tmp_path: Path) -> None:
    """Rollback and attributes do not change the checksum, as in Liquibase."""
    found = []
    for text in (
        "--changeset a:1\nSELECT 1;\n--rollback SELECT 2;\n",
        "--changeset a:1 labels:x\nSELECT 1;\n",
    ):
        (tmp_path / "log.sql").write_text(HEAD + text)
        found.append(read_folder(tmp_path, {}).migrations[0].up.checksum)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("attributes", "kind", "transaction"),
    [
        ("", Kind.VERSIONED, None),
        ("runOnChange:true", Kind.REPEATABLE, None),
        ("runOnChange:false runInTransaction:false", Kind.VERSIONED, False),
        ("RUNONCHANGE:TRUE runInTransaction:no", Kind.REPEATABLE, False),
        ("context:@none dbms:oracle", None, None),
        ("ignore:true runAlways:true", None, None),
        ("dbms:!oracle,!h2", Kind.VERSIONED, None),
    ],
)
def test_attributes_decide_how_a_changeset_runs(
    read: Read, attributes: str, kind: Kind | None, *, transaction: bool | None
) -> None:
    """A changeset that Liquibase skips on PostgreSQL is left out, whatever its other attributes."""
    text = f"{HEAD}--changeset a:1 {attributes}\nSELECT 1;\n--changeset a:2\nSELECT 2;\n"
    found = read({"log.sql": text}).by_id.get("log.sql::1::a")
    assert kind is (None if found is None else found.kind)
    assert transaction is (None if found is None else found.up.options.transaction)


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (None, True),
        ("postgresql", True),
        ("h2,PostgreSQL", True),
        ("h2,oracle", False),
        ("!h2", True),
        ("!postgresql", False),
        ("all", True),
        ("none", False),
        ("postgres", False),
    ],
)
def test_dbms_is_read_as_liquibase_reads_it(definition: str | None, *, expected: bool) -> None:
    """A list of exclusions allows all other databases."""
    assert expected is is_for_database(definition)


def test_logical_file_path_replaces_the_path(read: Read) -> None:
    """The file's path applies to all its changesets, a changeset's own only to itself."""
    catalog = read(
        {
            "log.sql": "--liquibase formatted sql logicalFilePath:classpath:/logical/a.sql\n"
            "--changeset a:1\nSELECT 1;\n--changeset a:2 logicalFilePath:b.sql\nSELECT 2;\n"
        }
    )
    assert ["logical/a.sql::1::a", "b.sql::2::a"] == ids_of(catalog)


# Rollback.


def test_rollback_lines_are_the_down_script_at_their_places(read_one: ReadOne) -> None:
    """The instruction becomes spaces, so that lines and columns stay those of the file."""
    migration = read_one("--changeset a:1\nSELECT 1;\n--rollback DROP\n\n-- rollback   TABLE a;\n")
    assert migration.down is not None
    expected = "           DROP\n\n              TABLE a;"
    assert (expected, 4) == (migration.down.text, migration.down.first_line)


def test_rollback_block_is_the_down_script(read_one: ReadOne) -> None:
    """A rollback block ends with its comment and keeps its line ends."""
    migration = read_one(
        "--changeset a:1\nSELECT 1;\n/* liquibase rollback\nDROP TABLE\na;\nSELECT 2; */\n"
    )
    assert migration.down is not None
    assert ("DROP TABLE\na;\nSELECT 2; ", 5) == (migration.down.text, migration.down.first_line)


@pytest.mark.parametrize("words", ["not required", "NOT REQUIRED here", "empty"])
def test_rollback_may_be_to_do_nothing(read_one: ReadOne, words: str) -> None:
    """A rollback that is declared unnecessary is a down script that does nothing."""
    migration = read_one(f"--changeset a:1\nSELECT 1;\n--rollback {words}\n")
    assert migration.down is not None
    assert migration.down.text == "SELECT 1; -- nothing to undo"


def test_changeset_without_rollback_cannot_be_undone(read_one: ReadOne) -> None:
    """A changeset without a rollback has no down script."""
    assert read_one("--changeset a:1\nSELECT 1;\n").down is None


def test_rollback_may_be_another_changeset(read: Read) -> None:
    """A rollback can run another changeset again, for example to undo a DROP."""
    catalog = read(
        {
            "a.sql": f"{HEAD}--changeset a:1\nCREATE TABLE a (id int);\n",
            "b.sql": f"{HEAD}--changeset a:1\nDROP TABLE a;\n"
            "--rollback changesetId:1 changesetAuthor:a changesetPath:a.sql\n",
        }
    )
    assert catalog.by_id["b.sql::1::a"].down == catalog.by_id["a.sql::1::a"].up


# Text: comments, delimiters, parameters. The expected values were observed with Liquibase.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1; -- c\n/* d */", "SELECT 1; -- c\n/* d */"),
        ("$$ a -- b\n c /* d */ e $$ -- f", "$$ a \n c  e $$ -- f"),
        ("$q$ a /* b\n c */ d\n$q$;\nx", "$q$ a  d\n$q$\n;\nx"),
        ("$$ '-- no' -- yes\n$$", "$$ '-- no' \n$$"),
        ("$$ it's -- no\n x's -- yes\n$$", "$$ it's -- no\n x's \n$$"),
        ("$$ a['--no'] \"/*no*/\" `--no` $$", "$$ a['--no'] \"/*no*/\" `--no` $$"),
        ("'$$ -- a' $$ -- b\n$$", "'$$ -- a' $$ \n$$"),
    ],
)
def test_comments_are_taken_out_of_bodies_only(text: str, expected: str) -> None:
    """Comments in function bodies, which the server stores, are removed as Liquibase does."""
    assert expected == strip_body_comments(text)


@pytest.mark.parametrize(
    ("attributes", "is_stripped"),
    [("", True), ("stripComments:false", False), ("splitStatements:false", True)],
)
def test_strip_comments_decides_about_bodies(
    read_one: ReadOne, attributes: str, *, is_stripped: bool
) -> None:
    """Comments are removed unless stripComments is false."""
    migration = read_one(f"--changeset a:1 {attributes}\nDO $$BEGIN -- c\nEND$$;\n")
    assert is_stripped is ("-- c" not in migration.up.sql)


@pytest.mark.parametrize(
    ("delimiter", "text", "expected"),
    [
        (None, "a\ngo\nb\n/\n", "a\n; \nb\n;\n"),
        (None, "a\n  go\nb go\n'\ngo\n'", "a\n  go\nb go\n'\ngo\n'"),
        (None, "$$\n/\ngo\n$$", "$$\n/\ngo\n$$"),
        (None, "-- x\n/* \n/\n*/", "-- x\n/* \n/\n*/"),
        ("/", "1 / 2\n/\ngo", "1 / 2\n;\ngo"),
        ("GO", "a go b\nGo", "a ;  b\n; "),
        ("//", "a; // b '//'", "a; ;  b '//'"),
        (";", "a\ngo", "a\ngo"),
        ("\\n/\\s*\\n|\\n/$", "a\n/\nb/c", "a\n;\nb/c"),
        ("\\nGO", "a\nGO\n", "a\n; \n"),
        ("", "a\n/", "a\n/"),
    ],
)
def test_delimiters_become_semicolons_where_liquibase_would_split(
    delimiter: str | None, text: str, expected: str
) -> None:
    """By default, a line with GO or a slash ends a statement; offsets stay."""
    assert expected == replace_delimiters(text, read_delimiters(delimiter))


@pytest.mark.parametrize("delimiter", ["^--x$", "(;|/)", "\\s+go"])
def test_delimiter_that_is_a_pattern_is_not_understood(delimiter: str) -> None:
    """A delimiter that is a Java regular expression is refused."""
    with pytest.raises(DelimiterUnusable):
        read_delimiters(delimiter)


def test_first_value_of_a_parameter_counts(read: Read) -> None:
    """The environment wins, then the first matching property; case and spaces do not matter."""
    catalog = read(
        {
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
        },
        ENV="outside",
    )
    found = [m.up.sql.partition("\n")[2].strip() for m in catalog.migrations]
    assert found == [
        "SELECT 'outside outside one oneb a ${ora} ${later} ${} ${:a} ${xone} $$';",
        "SELECT 'l';",
        "SELECT 'one ${here}';",
    ]
    assert catalog.migrations[0].up.hidden == ("a", "one", "oneb", "outside")


def test_changeset_that_runs_on_change_runs_for_another_value(tmp_path: Path) -> None:
    """The checksum of a runOnChange changeset covers the filled-in text without its layout."""
    found = []
    for text, value in (
        ("SELECT '${x}';", "1"),
        ("SELECT  '${x}';\n", "1"),
        ("SELECT '${x}';", "2"),
    ):
        (tmp_path / "log.sql").write_text(f"{HEAD}--changeset a:1 runOnChange:true\n{text}\n")
        found.append(read_folder(tmp_path, {"X": value}).migrations[0].up.checksum)
    assert found[0] == found[1] != found[2]


# Files and their order.


def test_files_without_a_root_are_read_by_path(read: Read) -> None:
    """Without a root changelog, files are sorted by path, capitals first, as includeAll does."""
    catalog = read({"b.sql": ONE, "a/z.sql": ONE, "B.sql": ONE, "a.sql": ONE, "notes.txt": ""})
    assert ["B.sql::1::ann", "a.sql::1::ann", "a/z.sql::1::ann", "b.sql::1::ann"] == ids_of(catalog)


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


@pytest.mark.parametrize(
    ("root", "text"),
    [("root.xml", XML.format(more="")), ("root.yaml", YAML), ("root.json", JSON)],
)
def test_root_changelog_decides_about_files_and_paths(read: Read, root: str, text: str) -> None:
    """The root chooses files and paths; a plain SQL file is a single changeset."""
    catalog = read(
        {
            root: text,
            "one.sql": ONE,
            "two.sql": ONE,
            "left.sql": "SELECT 'not included';",
            "more/c.sql": ONE,
            "more/b/plain.sql": "SELECT '${a}'; -- as it is\n",
        },
        A="v",
    )
    expected = [
        "db/changelog/two.sql::1::ann",
        "db/changelog/one.sql::1::ann",
        "db/changelog/more/b/plain.sql::raw::includeAll",
        "db/changelog/more/c.sql::1::ann",
    ]
    assert expected == ids_of(catalog)
    assert catalog.by_id[expected[2]].up.sql == "SELECT '${a}'; -- as it is\n"


def test_root_may_include_changelogs(read: Read) -> None:
    """The changelog that no other one includes is the root."""
    catalog = read(
        {
            "all.yaml": "databaseChangeLog:\n- include:\n    file: v1/v1.yaml\n",
            "v1/v1.yaml": "databaseChangeLog:\n- includeAll:\n    path: v1/sql\n",
            "v1/sql/a.sql": ONE,
        }
    )
    assert ["v1/sql/a.sql::1::ann"] == ids_of(catalog)


def test_settings_name_the_root_and_give_parameters(read: Read) -> None:
    """liquibase.properties, in the folder or beside it, sets the root and parameters."""
    catalog = read(
        {
            "../liquibase.properties": "changeLogFile=changelog/b.yaml\nparameter.t: given\n",
            "a.yaml": "databaseChangeLog:\n- include:\n    file: a.sql\n",
            "b.yaml": "databaseChangeLog:\n- include:\n    file: b.sql\n",
            "a.sql": ONE,
            "b.sql": f"{HEAD}--changeset b:1\nSELECT '${{t}}';\n",
        }
    )
    assert ["b.sql::1::b"] == ids_of(catalog)
    assert "'given'" in catalog.migrations[0].up.sql


def test_folder_is_recognised_by_a_first_line(tmp_path: Path) -> None:
    """The first line identifies the folder, whatever the file names."""
    (tmp_path / "V1__a.sql").write_text(f"\ufeff\n {ONE}")
    assert recognise(tmp_path) == "V1__a.sql has the line --liquibase formatted sql"


def test_folder_of_plain_sql_is_not_recognised(tmp_path: Path) -> None:
    """A folder of plain SQL is not recognised."""
    (tmp_path / "a.sql").write_text("-- formatted by hand\nSELECT 1;\n")
    assert recognise(tmp_path) is None


# Refusals.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "--changeset a:1 runAlways:true\nSELECT 1;",
            "log.sql:2 has a changeset that runs each time; Lockgate runs one again only if it changed.",
        ),
        (
            "--changeset a:1 contextFilter:@live\nSELECT 1;",
            "log.sql:2 has the context @live, which runs only on request.",
        ),
        ("--changeset a\nSELECT 1;", "log.sql:2 is a line that Liquibase refuses."),
        ("--changeset a: 1\nSELECT 1;", "log.sql:2 is a line that Liquibase refuses."),
        (
            "--changeset a:1\nSELECT 1;\n--rollback\tX;",
            "log.sql:4 is a line that Liquibase refuses.",
        ),
        ("--changeset a:1\n-- only\n--changeset a:2\nSELECT 1;", None),
        ("--changeset a:1\n\n--changeset a:2\nSELECT 1;", "log.sql:2 has a changeset without SQL."),
        (
            "SELECT 0;\n--changeset a:1\nSELECT 1;",
            "log.sql:2 has SQL above the first changeset, which Liquibase would not run.",
        ),
        (
            "--changeset a:1\nSELECT 1;\n--changeset a:1\nSELECT 2;",
            "log.sql:4 has the changeset log.sql::1::a again; it is already in log.sql:2.",
        ),
        (
            "--changeset a:1\nSELECT 1;\n--rollback changesetId:9 changesetAuthor:a",
            "log.sql:4 has a rollback that names a changeset which is not above it.",
        ),
        (
            "--changeset a:1\nSELECT 1;\n/* liquibase rollback\nSELECT 2;",
            "log.sql:4 has a rollback block without an end.",
        ),
    ],
)
def test_what_lockgate_cannot_run_as_liquibase_is_refused_with_its_line(
    read: Read, refuse: Fail, text: str, message: str | None
) -> None:
    """A changeset that Liquibase would not run as written is refused; a comment counts as SQL."""
    files = {"log.sql": HEAD + text}
    if message is None:
        assert len(read(files).migrations) > 1
        return
    error = refuse(files)
    assert message == str(error)
    assert error.hint


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"r.xml": XML.format(more='<changeSet id="1" author="a"/>')},
            "r.xml:8 has changeSet, and Lockgate only supports include, includeAll and property there.",
        ),
        (
            {"r.yaml": "databaseChangeLog:\n- changeSet:\n    id: 1\n    changes:\n    - x: |\n"},
            "r.yaml:2 has changeSet, and Lockgate only supports include, includeAll and property there.",
        ),
        (
            {"r.json": '{"databaseChangeLog": [{"preConditions": []}]}'},
            (
                "r.json has preConditions, and Lockgate only supports include, includeAll and"
                " property there."
            ),
        ),
        (
            {
                "r.xml": '<databaseChangeLog>\n<includeAll path="a" filter="x.Y"/></databaseChangeLog>'
            },
            "r.xml:2 has includeAll with filter, which Lockgate does not support.",
        ),
        ({"r.xml": "<databaseChangeLog>\n<a></databaseChangeLog>"}, "r.xml:2 is not XML."),
        ({"r.json": '{"databaseChangeLog": '}, "r.json:1 is not JSON."),
        (
            {"r.yaml": "databaseChangeLog:\n- include: {file: a.sql}\n"},
            "r.yaml:2 is YAML that Lockgate does not support.",
        ),
        (
            {"r.xml": "<!DOCTYPE x>\n<databaseChangeLog/>"},
            "r.xml:1 has a DOCTYPE, and Lockgate only supports include, includeAll and property there.",
        ),
        (
            {"a.sql": ONE, "raw.sql": "SELECT 1;"},
            "raw.sql does not begin with --liquibase formatted sql, and no root changelog includes it.",
        ),
        (
            {"a.yaml": "databaseChangeLog:\n", "b.yaml": "databaseChangeLog:\n"},
            "a.yaml is not the only changelog that may be the root: a.yaml, b.yaml.",
        ),
        (
            {"a.sql": ONE, "liquibase.properties": "\nliquibase.command.contexts=test\n"},
            "liquibase.properties:2 sets liquibase.command.contexts, which Lockgate does not support.",
        ),
        (
            {"a.yaml": "databaseChangeLog:\n- include:\n    file: ../a.yaml\n"},
            None,
        ),
    ],
)
def test_changelog_that_does_more_than_include_is_refused(
    refuse: Fail, files: dict[str, str], message: str | None
) -> None:
    """The error has the line if the format has lines."""
    error = refuse({"one.sql": ONE, "two.sql": ONE, "more/a.sql": ONE, **files})
    if message is not None:
        assert message == str(error)
    assert error.hint


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
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
    ],
)
def test_what_only_a_run_would_decide_is_an_obstacle(
    read_one: ReadOne, text: str, line: int, why: str
) -> None:
    """A changeset with an unsupported feature is refused only when it is to run."""
    obstacle = read_one(text, LINES="a\nb").up.obstacle
    assert obstacle is not None
    assert (line, why) == (obstacle.line, obstacle.why)
    assert obstacle.hint


def test_preconditions_without_any_are_none(read_one: ReadOne) -> None:
    """A preconditions line without a condition is ignored."""
    migration = read_one("--changeset a:1\n--preconditions onFail:HALT\nSELECT 1;")
    assert (None, "--changeset a:1\n\nSELECT 1;") == (migration.up.obstacle, migration.up.text)


def test_variable_that_filters_is_refused(refuse: Fail) -> None:
    """A filter set by a variable is refused like one in the settings."""
    error = refuse({"a.sql": ONE}, LIQUIBASE_COMMAND_LABEL_FILTER="x")
    assert error.file == "LIQUIBASE_COMMAND_LABEL_FILTER"


def test_table_is_made_for_changesets_that_touch_it(read: Read) -> None:
    """A changeset that touches Liquibase's tables gets both in Liquibase's layout."""
    catalog = read({"log.sql": f"{HEAD}--changeset a:1\nDELETE FROM DATABASECHANGELOG;\n"})
    assert TableStub("databasechangelog", TABLE_SQL) == catalog.stub


# On a server.


def test_changesets_are_applied_and_run_again_when_they_change(project: Project) -> None:
    """Changesets run in the order of the changelog, and a changed runOnChange one runs again."""
    project.settings["LOCKGATE_FORMAT"] = "liquibase"
    view = "--changeset a:view runOnChange:true\nCREATE OR REPLACE VIEW v AS SELECT {} AS x FROM a\nGO\n"
    text = (
        f"{HEAD}--changeset a:table\nCREATE TABLE a (id int)\n/\nINSERT INTO a VALUES (1)\n/\n{{}}"
        "--changeset a:index runInTransaction:false\nCREATE INDEX CONCURRENTLY i ON a (id);\n"
        "--changeset a:use\nCREATE VIEW w AS SELECT x FROM v;\n"
    )
    found = []
    for value in (1, 2, 2):
        project.write({"log.sql": text.format(view.format(value))})
        report = project.run(Action.UP)
        found.append((report.status, len(report.applied), project.database.run("SELECT x FROM w")))
    expected = [
        (Status.APPLIED, 4, [[1]]),
        (Status.APPLIED, 1, [[2]]),
        (Status.UP_TO_DATE, 0, [[2]]),
    ]
    assert expected == found


def test_rollbacks_undo_what_was_applied(project: Project) -> None:
    """Rollbacks as lines, blocks and references restore the empty database."""
    project.settings["LOCKGATE_FORMAT"] = "liquibase"
    empty = project.database.dump()
    project.write(
        {
            "log.sql": f"""{HEAD}--changeset a:1
CREATE TABLE a (id int);
--rollback DROP TABLE a;
--changeset a:2
CREATE TABLE b (id int);
/* liquibase rollback
DROP TABLE
b;
*/
--changeset a:3
DROP TABLE b;
--rollback changesetId:2 changesetAuthor:a
--changeset a:4
INSERT INTO a VALUES (1);
--rollback not required
"""
        }
    )
    project.run(Action.UP)
    project.do(Action.DOWN, target="0", reason="test", allow_data_loss=True)
    assert empty == project.database.dump()
