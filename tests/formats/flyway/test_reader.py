"""Read Flyway folders: names, order, placeholders, settings, and what Lockgate refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lockgate.core.catalog import TableStub
from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Kind, Migration
from lockgate.core.request import Action
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.flyway.names import Name, NameKind, NameRules, parse_name
from lockgate.formats.flyway.reader import read_folder, recognise
from lockgate.formats.flyway.table import TABLE_SQL
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.project import Project

    from lockgate.core.catalog import Catalog

    Write = Callable[[dict[str, str]], Path]
    Read = Callable[..., Catalog]
    ReadOne = Callable[..., Migration]
    Fail = Callable[..., MigrationFileInvalid]

SQL = "SELECT 1;\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes files; names that begin with ../ are beside the folder."""

    def write_files(files: dict[str, str]) -> Path:
        folder = tmp_path / "project" / "sql"
        folder.mkdir(parents=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode())
        return folder

    return write_files


@pytest.fixture
def read(write: Write) -> Read:
    """Give a function that writes files and reads the folder."""

    def write_and_read(files: dict[str, str], **variables: str) -> Catalog:
        return read_folder(write(files), variables)

    return write_and_read


@pytest.fixture
def read_one(read: Read) -> ReadOne:
    """Give a function that reads the only migration of a folder."""

    def write_and_read(files: dict[str, str], **variables: str) -> Migration:
        (migration,) = read(files, **variables).migrations
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


# Names.


@pytest.mark.parametrize(
    ("name", "kind", "version", "key", "description"),
    [
        ("V1__a_b.sql", NameKind.VERSIONED, "1", (1,), "a b"),
        ("V1.2__x.sql", NameKind.VERSIONED, "1.2", (1, 2), "x"),
        ("V1_2__x.sql", NameKind.VERSIONED, "1.2", (1, 2), "x"),
        ("V001__x.sql", NameKind.VERSIONED, "001", (1,), "x"),
        ("V1.0.0__x.sql", NameKind.VERSIONED, "1", (1,), "x"),
        ("V0.0__x.sql", NameKind.VERSIONED, "0", (0,), "x"),
        ("V2024.01.10__x.sql", NameKind.VERSIONED, "2024.01.10", (2024, 1, 10), "x"),
        ("V1___x.sql", NameKind.VERSIONED, "1", (1,), " x"),
        ("V1__a__b.sql", NameKind.VERSIONED, "1", (1,), "a  b"),
        ("V1__.sql", NameKind.VERSIONED, "1", (1,), ""),
        ("V1.sql", NameKind.VERSIONED, "1", (1,), ""),
        ("U1.2__x.sql", NameKind.UNDO, "1.2", (1, 2), "x"),
        ("B3__x.sql", NameKind.BASELINE, "3", (3,), "x"),
    ],
)
def test_versioned_name_is_cut_as_flyway_cuts_it(
    name: str, kind: NameKind, version: str, key: tuple[int, ...], description: str
) -> None:
    """Dots and underscores separate the parts, trailing zeros are ignored, underscores are spaces."""
    found = parse_name(name, NameRules())
    assert found is not None
    assert found.version is not None
    assert (kind, version, key, description) == (
        found.kind,
        found.version.text,
        found.version.key,
        found.description,
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("R__my_view.sql", Name(NameKind.REPEATABLE, None, "my view")),
        ("R__.sql", Name(NameKind.REPEATABLE, None, "")),
        ("afterMigrate.sql", Name(NameKind.CALLBACK, None, "")),
        ("beforeEachMigrate__x.sql", Name(NameKind.CALLBACK, None, "x")),
        ("V1_x.sql", None),
        ("V__x.sql", None),
        ("v1__x.sql", None),
        ("V1__x.SQL", None),
        ("V1a__x.sql", None),
        ("V1.__x.sql", None),
        ("R_x.sql", None),
        ("R1__x.sql", None),
        ("Rollback.sql", None),
        ("Views.sql", None),
        ("seed.sql", None),
        ("afterClean.sql", None),
    ],
)
def test_other_names_are_what_flyway_takes_them_for(name: str, expected: Name | None) -> None:
    """Files with other names, and callbacks of other commands, are ignored."""
    assert expected == parse_name(name, NameRules())


def test_folder_is_ordered_by_number_then_by_description(read: Read) -> None:
    """Versions are sorted as numbers across subfolders, repeatables follow, other files are ignored."""
    catalog = read(
        {
            "R__b.sql": SQL,
            "R__a b.sql": SQL,
            "R__aB.sql": SQL,
            "V2__d.sql": SQL,
            "deep/er/V1.10__c.sql": SQL,
            "V1_9__b.sql": SQL,
            "V1__a.sql": SQL,
            "seed.sql": SQL,
            "V3_typo.sql": SQL,
            "README.md": "#",
        }
    )
    expected = ["1", "1.9", "1.10", "2", "R__a b", "R__aB", "R__b"]
    assert expected == [m.migration_id for m in catalog.migrations]


def test_undo_script_is_the_down_script_of_its_version(read_one: ReadOne) -> None:
    """An undo script belongs to its version, in any spelling and with any description."""
    migration = read_one({"V1_0__create.sql": SQL, "undo/U1__drop.sql": "SELECT 2;\n"})
    assert migration.down is not None
    expected = ("1", "create", Kind.VERSIONED, "V1_0__create.sql", "undo/U1__drop.sql")
    assert expected == (
        migration.migration_id,
        migration.name,
        migration.kind,
        migration.path,
        migration.down.path,
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"V1__a.sql": SQL, "V1.0__b.sql": SQL},
            "Two files have version 1: V1.0__b.sql and V1__a.sql.",
        ),
        (
            {"R__a_b.sql": SQL, "x/R__a b.sql": SQL},
            "Two files have version R__a b: R__a_b.sql and x/R__a b.sql.",
        ),
        (
            {"V1__a.sql": SQL, "U1__a.sql": SQL, "U1.0__b.sql": SQL},
            "U1__a.sql undoes version 1, and so does U1.0__b.sql.",
        ),
        (
            {"V1__a.sql": SQL, "U2__b.sql": SQL},
            "U2__b.sql has a down script but no up script.",
        ),
        (
            {"V1__a.sql": SQL, "B1__all.sql": SQL},
            "B1__all.sql is a baseline migration: Flyway runs it only on a new database.",
        ),
        (
            {"V1__a.sql": SQL, "afterMigrate.sql": SQL},
            "afterMigrate.sql is a callback, which Lockgate does not run.",
        ),
        (
            {"V1__a.sql": SQL, "beforeMigrate.sh": "true"},
            "beforeMigrate.sh is a callback, which Lockgate does not run.",
        ),
        ({"V1__a.sql": SQL, "R__seed.py": "print()"}, "R__seed.py:1 is not SQL."),
        (
            {"V1__a.sql": SQL, "R__now.sql": "-- ${flyway:timestamp}"},
            "R__now.sql:1 has the placeholder ${flyway:timestamp}, whose value only Flyway knows.",
        ),
    ],
)
def test_what_lockgate_cannot_run_as_flyway_is_refused_by_name(
    refuse: Fail, files: dict[str, str], message: str
) -> None:
    """The error names the file, or both files if two conflict."""
    error = refuse(files)
    assert message == str(error)
    assert error.hint


def test_folder_is_recognised_by_a_versioned_name(write: Write) -> None:
    """One versioned name is enough, since the names of other tools do not match it."""
    folder = write({"a.sql": SQL, "db/V1__a.sql": SQL})
    assert recognise(folder) == "db/V1__a.sql has the name of a Flyway migration"


@pytest.mark.parametrize(
    "files",
    [
        {"R__a.sql": SQL, "0001_a.sql": SQL},
        {"V1__a.sql": "--liquibase formatted sql\n"},
    ],
)
def test_folder_of_another_tool_is_not_recognised(write: Write, files: dict[str, str]) -> None:
    """A repeatable name alone, or a Liquibase file, does not make a folder Flyway's."""
    assert recognise(write(files)) is None


# Placeholders.


def test_placeholder_is_filled_in_everywhere(read_one: ReadOne) -> None:
    """Comments and strings are filled in too; the checksum is that of the text in the file."""
    text = "\ufeff-- ${note}\nSELECT '${a.b}', '$${a.b}', ${empty}1;\n"
    migration = read_one(
        {
            "V1__a.sql": text,
            "flyway.conf": "# ours\nflyway.placeholders.note = over $ {\nflyway.placeholders.empty=\n",
        },
        **{"FLYWAY_PLACEHOLDERS_A.B": "secret"},
    )
    assert migration.up.text == text[1:]
    assert migration.up.checksum == text_checksum(text)
    assert migration.up.sql == "-- over $ {\nSELECT 'secret', '$secret', 1;\n"
    assert migration.up.hidden == ("over $ {", "secret")


def test_variable_wins_over_file_and_names_ignore_case(read_one: ReadOne) -> None:
    """FLYWAY_PLACEHOLDERS_OWNER sets ${owner}, ${Owner} and ${OWNER}."""
    migration = read_one(
        {
            "V1__a.sql": "SELECT '${owner} ${OWNER}';",
            "../flyway.conf": "flyway.placeholders.owner=file\n",
        },
        FLYWAY_PLACEHOLDERS_OWNER="variable",
    )
    assert migration.up.sql == "SELECT 'variable variable';"


def test_toml_gives_placeholders_and_prefixes(read_one: ReadOne) -> None:
    """Placeholders of the chosen environment override the common ones; ${env.X} is a variable."""
    migration = read_one(
        {
            "M1__a.sql": "SELECT '{{a}}{{b}}{{c}} ${x}';",
            "flyway.toml": """
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
""",
        },
        HOST_OF_TEST="here",
    )
    assert migration.up.sql == "SELECT 'one2here ${x}';"


def test_placeholders_that_the_file_decides_are_known(read_one: ReadOne) -> None:
    """File name, table and default schema are filled in without Flyway."""
    migration = read_one(
        {"x/V1__a.sql": "-- ${flyway:filename} ${flyway:table} ${flyway:defaultSchema}\n"},
        FLYWAY_DEFAULT_SCHEMA="public",
        FLYWAY_TABLE="log",
    )
    assert migration.up.sql == "-- V1__a.sql log public\n"
    assert migration.up.hidden == ()


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("\n\n-- ${x}\n", 3, "has the placeholder ${x}, which has no value"),
        ("SELECT '${x", 1, "has the placeholder ${x, which has no value"),
        ("\r\n${lines}", 2, "has the placeholder ${lines}, whose value has several lines"),
        ("${flyway:user}", 1, "has the placeholder ${flyway:user}, whose value only Flyway knows"),
        (
            "${flyway:defaultSchema}",
            1,
            "has the placeholder ${flyway:defaultSchema}, whose value only Flyway knows",
        ),
    ],
)
def test_placeholder_without_a_value_is_an_obstacle_with_its_line(
    read_one: ReadOne, text: str, line: int, why: str
) -> None:
    """A placeholder without a usable value is an error only when its migration is to run."""
    script = read_one({"V1__a.sql": text}, FLYWAY_PLACEHOLDERS_LINES="a\nb").up
    assert script.obstacle is not None
    assert (line, why, None) == (script.obstacle.line, script.obstacle.why, script.substituted)
    assert script.obstacle.hint


def test_program_is_an_obstacle_of_its_migration(read: Read) -> None:
    """A Java migration is refused only when it is to run."""
    catalog = read({"V1__a.sql": SQL, "x/V2__Fill_all.java": "class", "U1__a.class": "x"})
    fill = catalog.by_id["2"]
    assert ("Fill all", "x/V2__Fill_all.java") == (fill.name, fill.path)
    assert fill.up.obstacle is not None
    assert catalog.by_id["1"].down is not None
    assert catalog.by_id["1"].down.obstacle == fill.up.obstacle


@pytest.mark.parametrize(
    ("files", "variables"),
    [
        ({"flyway.conf": "flyway.placeholderReplacement=false"}, {}),
        ({}, {"FLYWAY_PLACEHOLDER_REPLACEMENT": "false"}),
        ({"V1__a.sql.conf": "placeholderReplacement=false"}, {}),
    ],
)
def test_replacement_that_is_off_leaves_the_text_alone(
    read_one: ReadOne, files: dict[str, str], variables: dict[str, str]
) -> None:
    """Settings turn replacement off for all files, a script configuration for one."""
    migration = read_one({"V1__a.sql": "SELECT '${x}';", **files}, **variables)
    assert migration.up.substituted is None


def test_repeatable_runs_again_when_a_value_changes(tmp_path: Path) -> None:
    """The checksum of a repeatable covers the filled-in text, that of a versioned file the file."""
    (tmp_path / "R__a.sql").write_text("SELECT '${x}';")
    (tmp_path / "V1__a.sql").write_text("SELECT '${x}';")
    catalogs = [read_folder(tmp_path, {"FLYWAY_PLACEHOLDERS_X": x}) for x in ("one", "two")]
    versioned, repeatable = (
        [catalog.by_id[key].up.checksum for catalog in catalogs] for key in ("1", "R__a")
    )
    assert len(set(versioned)) == 1
    assert len(set(repeatable)) == 2


# Settings and script configuration.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("\nflyway.target=3", "flyway.conf:2 sets flyway.target, which Lockgate does not support."),
        (
            "flyway.initSql=SET x=1",
            "flyway.conf:1 sets flyway.initSql, which Lockgate does not support.",
        ),
        (
            "flyway.schemas=a,b",
            "flyway.conf:1 sets flyway.schemas, which Lockgate does not support.",
        ),
        (
            "flyway.baselineOnMigrate = true",
            "flyway.conf:1 sets flyway.baselineOnMigrate, which Lockgate does not support.",
        ),
        (
            "flyway.locations=filesystem:a,\\\n  filesystem:b",
            "flyway.conf:1 sets flyway.locations to several folders, and Lockgate reads only one.",
        ),
        ("flyway.mixed=yes", 'flyway.conf:1: mixed cannot be "yes"; it takes true or false.'),
        (
            "flyway.encoding=ISO-8859-1",
            "flyway.conf:1 sets flyway.encoding, which Lockgate does not support.",
        ),
    ],
)
def test_setting_that_changes_what_runs_is_refused_with_its_line(
    refuse: Fail, settings: str, message: str
) -> None:
    """A setting that changes what runs is refused, because ignoring it would build another schema."""
    error = refuse({"V1__a.sql": SQL, "flyway.conf": settings})
    assert message == str(error)


@pytest.mark.parametrize(
    "name",
    [
        *("target", "cherryPick", "skipExecutingMigrations", "initSql", "callbacks", "resolvers"),
        *(
            "errorOverrides",
            "delimiter",
            "encoding",
            "defaultSchema",
            "schemas",
            "baselineOnMigrate",
        ),
    ],
)
def test_every_setting_that_the_page_refuses_is_refused(refuse: Fail, name: str) -> None:
    """Each setting that the docs list is refused, with a hint how to override it."""
    error = refuse({"V1__a.sql": SQL, "flyway.conf": f"flyway.{name}=other"})
    assert f"flyway.conf:1 sets flyway.{name}, which Lockgate does not support." == str(error)
    variable = re.sub("([A-Z])", r"_\1", name).upper()
    assert f"FLYWAY_{variable}=" in (error.hint or "")


def test_variable_takes_a_setting_of_the_file_back(read_one: ReadOne) -> None:
    """Variables override files, so a refused setting can be reset without editing a file."""
    files = {"V1__a.sql": SQL, "flyway.conf": "flyway.target=3\nflyway.url=jdbc:postgresql://x/y\n"}
    assert read_one(files, FLYWAY_TARGET="latest").migration_id == "1"


def test_setting_in_toml_is_refused_with_its_line(refuse: Fail) -> None:
    """The error has the line of the key."""
    error = refuse({"V1__a.sql": SQL, "flyway.toml": '[flyway]\n\ntarget = "3"\n'})
    assert error.line == 3


def test_two_files_of_settings_are_refused(refuse: Fail) -> None:
    """Two settings files are refused, since it is unclear which one counts."""
    error = refuse({"V1__a.sql": SQL, "flyway.toml": "", "../flyway.conf": ""})
    assert "is not the only file of settings" in str(error)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("executeInTransaction=false", False),
        ("executeInTransaction=true", True),
        ("encoding=UTF-8\n", None),
        ("# nothing\n", None),
    ],
)
def test_script_configuration_decides_about_the_transaction(
    read_one: ReadOne, settings: str, *, expected: bool | None
) -> None:
    """The script configuration is a file with the script's name and the suffix .conf."""
    migration = read_one({"V1__a.sql": SQL, "V1__a.sql.conf": settings})
    assert expected is migration.up.options.transaction


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("true", ["1", "2"]),
        ("false", ["2"]),
        ("${stage}==test", ["1", "2"]),
        ("${stage} == live", ["2"]),
        ("${stage}!=live", ["1", "2"]),
    ],
)
def test_script_that_should_not_execute_is_left_out(
    read: Read, condition: str, expected: list[str]
) -> None:
    """A script with a false condition is left out with its undo script, as in Flyway."""
    catalog = read(
        {
            "V1__a.sql": SQL,
            "U1__a.sql": SQL,
            "V1__a.sql.conf": f"shouldExecute={condition}",
            "V2__b.sql": SQL,
        },
        FLYWAY_PLACEHOLDERS_STAGE="test",
    )
    assert expected == [m.migration_id for m in catalog.migrations]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "\nshouldExecute=(a==b)&&true",
            "V1__a.sql.conf:2 has a condition in shouldExecute that Lockgate does not evaluate.",
        ),
        ("encoding=latin1", "V1__a.sql.conf:1 sets an encoding other than UTF-8."),
        (
            "transaction=false",
            "V1__a.sql.conf:1 has the key transaction, which Flyway does not know.",
        ),
        (
            "executeInTransaction=no",
            'V1__a.sql.conf:1: executeInTransaction cannot be "no"; it takes true or false.',
        ),
    ],
)
def test_script_configuration_that_is_not_understood_is_refused(
    refuse: Fail, settings: str, message: str
) -> None:
    """The error names file and line."""
    error = refuse({"V1__a.sql": SQL, "V1__a.sql.conf": settings})
    assert message == str(error)


def test_mixed_file_runs_outside_a_transaction_where_flyway_mixes(read: Read) -> None:
    """flyway.mixed affects only files with a statement that cannot run in a transaction."""
    catalog = read(
        {
            "V1__a.sql": "CREATE TABLE a (b int);\nCREATE INDEX CONCURRENTLY c ON a (b);",
            "V2__b.sql": SQL,
        },
        FLYWAY_MIXED="true",
    )
    assert [False, None] == [m.up.options.transaction for m in catalog.migrations]


def test_names_that_are_no_migrations_are_refused_where_flyway_refuses_them(refuse: Fail) -> None:
    """With flyway.validateMigrationNaming, a misspelled file name is refused."""
    error = refuse({"V1__a.sql": SQL, "V2_b.sql": SQL}, FLYWAY_VALIDATE_MIGRATION_NAMING="true")
    assert error.file == "V2_b.sql"


# Flyway's own table.


def test_table_is_made_for_scripts_that_touch_it(read: Read) -> None:
    """A folder that touches Flyway's table gets it in Flyway's layout."""
    catalog = read({"V1__a.sql": "DELETE FROM flyway_schema_history WHERE version = '0';"})
    expected = TABLE_SQL.format(
        table='"flyway_schema_history"',
        constraint='"flyway_schema_history_pk"',
        index='"flyway_schema_history_s_idx"',
    )
    assert TableStub("flyway_schema_history", expected) == catalog.stub


def test_folder_that_leaves_the_table_alone_gets_none(read: Read) -> None:
    """A folder that does not touch Flyway's table gets no stub."""
    assert read({"V1__a.sql": SQL}).stub is None


# On a server.


def test_folder_is_applied_and_changed_values_reach_repeatables(project: Project) -> None:
    """Versions run in order with placeholders filled in, and a changed value reruns a view."""
    project.settings["LOCKGATE_FORMAT"] = "flyway"
    project.write(
        {
            "V1__create.sql": "CREATE TABLE ${name} (id int);\n",
            "V1.1__fill.sql": "COPY account (id) FROM stdin;\n1\n2\n\\.\n",
            "V1.2__index.sql": "CREATE INDEX CONCURRENTLY account_id ON account (id);\n",
            "R__view.sql": "CREATE OR REPLACE VIEW v AS SELECT ${least} + min(id) AS m FROM account;\n",
            "flyway.conf": "flyway.placeholders.name=account\nflyway.placeholders.least=${LEAST}\n",
        }
    )
    statuses = []
    for least in ("10", "20", "20"):
        # The settings read it like any other variable of the process.
        report = project.run(Action.UP, LEAST=least)
        statuses.append((report.status, project.database.run("SELECT m FROM v")[0][0]))
    expected = [(Status.APPLIED, 11), (Status.APPLIED, 21), (Status.UP_TO_DATE, 21)]
    assert expected == statuses


def test_failing_statement_is_shown_as_the_file_has_it(project: Project) -> None:
    """The error has the line of the file, and a placeholder's value appears nowhere in the report."""
    project.settings["LOCKGATE_FORMAT"] = "flyway"
    project.write({"V1__a.sql": "SELECT 1;\nSELECT ${column};\n"})
    report = project.run(Action.UP, FLYWAY_PLACEHOLDERS_COLUMN="hidden_column")
    assert report.error is not None
    assert (report.error.file, report.error.line) == ("V1__a.sql", 2)
    assert "hidden_column" not in str(report.to_json())
    assert "${column}" in str(report.error.excerpt)


def test_migration_with_an_obstacle_is_refused_when_it_is_to_run(project: Project) -> None:
    """The run is refused with file and line before any migration runs."""
    project.settings["LOCKGATE_FORMAT"] = "flyway"
    project.write({"V1__a.sql": SQL, "V2__b.sql": "\nSELECT ${x};\n"})
    report = project.run(Action.UP)
    assert report.error is not None
    expected = (
        "V2__b.sql:2: the script has the placeholder ${x}, which has no value. Nothing was changed."
    )
    assert (Status.REFUSED, expected) == (report.status, report.error.message)
