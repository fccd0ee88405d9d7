"""Read graphile-migrate's committed files: headers, hashes, placeholders and settings."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from tests.support.foreign_folder import ForeignFolder

from lockgate.core.analysis import analyse_script
from lockgate.core.transaction_mode import Mode
from lockgate.errors import MigrationFileInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.project import Project

SQL = "select 1;\n"
# As written by graphile-migrate 1.4.1.
FIRST_HASH = "sha1:005c6eb7364156e6b0d158d8b2767a24f1ce6611"


@pytest.fixture
def folder(tmp_path: Path) -> ForeignFolder:
    """Give an empty migrations folder in a graphile-migrate project."""
    return ForeignFolder(tmp_path / "project" / "migrations", "graphile-migrate")


def hash_of(body: str, previous: str = "") -> str:
    """Return graphile-migrate's hash of a body that follows a hash."""
    text = f"{previous}\n{body.strip()}".strip() + "\n"
    return "sha1:" + hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def commit(*bodies: str) -> dict[str, str]:
    """Return the bodies as committed files, each referring to the hash of the one before it."""
    files: dict[str, str] = {}
    previous = ""
    for number, body in enumerate(bodies, start=1):
        digest = hash_of(body, previous)
        files[f"committed/{number:06d}-step.sql"] = (
            f"--! Previous: {previous or '-'}\n--! Hash: {digest}\n--! Message: step\n\n{body}"
        )
        previous = digest
    return files


# Files.


def test_committed_file_becomes_a_migration(folder: ForeignFolder) -> None:
    """The number is the version, the text starts after the headers, and there is no down script."""
    migration = folder.read_one(commit("create table t ();\n"))
    assert (migration.migration_id, migration.name) == ("000001", "step")
    assert migration.path == "committed/000001-step.sql"
    assert (migration.up.text, migration.up.first_line) == ("\ncreate table t ();\n", 4)
    assert (migration.up.sql, migration.down) == (migration.up.text, None)


def test_committed_folder_itself_may_be_named(folder: ForeignFolder) -> None:
    """If the committed folder itself is configured, paths are relative to it."""
    files = {name.removeprefix("committed/"): text for name, text in commit(SQL, SQL).items()}
    assert folder.ids(files) == ["000001", "000002"]
    assert folder.read({}).migrations[0].path == "000001-step.sql"


def test_files_run_in_the_order_of_their_names(folder: ForeignFolder) -> None:
    """Numbers without leading zeros are sorted as text, as in graphile-migrate."""
    committed = list(commit(SQL, SQL, SQL).values())
    names = ["1.sql", "10.sql", "2.sql"]
    files = {f"committed/{name}": text for name, text in zip(names, committed, strict=True)}
    assert folder.ids(files) == ["1", "10", "2"]


def test_other_files_are_passed_over(folder: ForeignFolder) -> None:
    """Work in progress and files with other names are ignored."""
    files = {"current.sql": "drop table t;\n", "committed/notes.sql": "", "committed/1 a.sql": ""}
    assert folder.ids(commit(SQL) | files) == ["000001"]


def test_comment_of_a_transaction_turns_it_off(folder: ForeignFolder) -> None:
    """The comment counts only on the first line of the body."""
    bodies = ("--! no-transaction\nselect 1;\n", "select 1;\n--! no-transaction\n")
    found = [m.up.options.transaction for m in folder.read(commit(*bodies)).migrations]
    assert found == [False, None]


def test_own_table_is_made_where_a_script_names_it(folder: ForeignFolder) -> None:
    """A script that edits graphile-migrate's history finds its schema."""
    body = 'delete from "graphile_migrate"."migrations";\n'
    catalog = folder.read(commit(body))
    assert catalog.stub is not None
    assert catalog.stub.table == "graphile_migrate.migrations"


def test_failing_line_is_named_where_it_stands(project: Project) -> None:
    """Headers and session settings do not shift lines, and the history tables exist for scripts."""
    project.settings["LOCKGATE_FORMAT"] = "graphile-migrate"
    body = "delete from graphile_migrate.migrations;\nselect 1,\n  no_such_column;\n"
    gmrc = '{ "pgSettings": { "search_path": "app, public" } }'
    project.write(commit("create schema app;\n", body) | {".gmrc": gmrc})
    report = project.run()
    assert report.error is not None
    place = (report.error.file, report.error.line, report.error.column)
    assert place == ("committed/000002-step.sql", 7, 3)


def test_folder_is_recognised_by_its_header(folder: ForeignFolder) -> None:
    """A folder is recognised by its header, not by file names alone."""
    assert folder.recognise({"committed/000001.sql": SQL}) is None
    assert folder.recognise(commit(SQL)) == "000001-step.sql begins with --! Previous:"


# Hashes.


def test_hash_is_that_of_the_tool(folder: ForeignFolder) -> None:
    """A hash committed by graphile-migrate itself is accepted."""
    text = f"--! Previous: -\n--! Hash: {FIRST_HASH}\n\nselect 1;\n"
    assert folder.ids({"committed/000001.sql": text}) == ["000001"]


def test_edited_file_is_refused(folder: ForeignFolder) -> None:
    """An edited file is refused, because its hash no longer matches the header."""
    (name, text), *_ = commit(SQL).items()
    message = folder.refuse({name: text + "select 2;\n"})
    actual, stated = hash_of(SQL + "select 2;\n"), hash_of(SQL)
    assert message == (
        f"committed/000001-step.sql has the hash {actual}, but its header has {stated}: it was"
        " edited."
    )


def test_edited_file_is_accepted_where_its_header_allows_it(folder: ForeignFolder) -> None:
    """AllowInvalidHash permits an edited file and is refused on an unedited one."""
    (name, text), *_ = commit(SQL).items()
    allowed = text.replace("\n\n", "\n--! AllowInvalidHash\n\n")
    assert folder.ids({name: allowed + "select 2;\n"}) == ["000001"]
    expected = "committed/000001-step.sql has the header AllowInvalidHash and a valid hash."
    assert folder.refuse({name: allowed}) == expected


def test_missing_file_is_refused(folder: ForeignFolder) -> None:
    """A missing file is refused, because it breaks the chain of hashes."""
    files = commit(SQL, "select 2;\n", "select 3;\n")
    del files["committed/000002-step.sql"]
    first = hash_of(SQL)
    second = hash_of("select 2;\n", first)
    assert folder.refuse(files) == (
        f"committed/000003-step.sql:1 follows the hash {second}, but committed/000001-step.sql has"
        f" {first}."
    )


def test_missing_first_file_is_refused(folder: ForeignFolder) -> None:
    """The first file is refused if it refers to an earlier one."""
    files = commit(SQL, SQL)
    del files["committed/000001-step.sql"]
    assert folder.refuse(files) == (
        f"committed/000002-step.sql:1 follows the hash {hash_of(SQL)}, but it is the first."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--! Hash: x\n\n", ":1 has no header --! Previous:."),
        ("--! Previous: -\n\n", ":1 has no header --! Hash:."),
        ("--! Previous: -\n--! Hash: x\nselect 1;\n", ":3 has no empty line after its headers."),
        ("--! Previous: -\n--! Previous: -\n", ":2 has the header Previous twice."),
        (
            "--! Previous: -\r\n--! Hash: x\r\n\r\nselect 1;\r\n",
            ":1 ends its lines with CR LF, which its hash does not cover.",
        ),
        ("", ":1 has no header --! Previous:."),
        ("select 1;\n", ":1 has no empty line after its headers."),
    ],
)
def test_headers_that_the_tool_refuses_are_refused(
    folder: ForeignFolder, text: str, expected: str
) -> None:
    """The error has the line of the invalid header."""
    path = "committed/000001.sql"
    assert folder.refuse({path: text}) == f"{path}{expected}"


# Placeholders and settings.

GMRC = """\
{
  // settings
  "placeholders": {
    ":APP_ROLE": "!ENV",
    ":APP": "shop",
  },
  "afterAllMigrations": [{ "_": "command", "shadow": true, "command": "dump" }],
}
"""


def test_placeholders_are_filled_in(folder: ForeignFolder) -> None:
    """Settings and environment fill in comments and strings too, and the longest name matches first."""
    body = "grant x to :APP_ROLE; -- :APP\nselect ':APP', ':APPLE' from :DATABASE_NAME.t;\n"
    files = commit(body) | {"../.gmrc": GMRC}
    migration = folder.read_one(files, APP_ROLE="reader", DATABASE_NAME="db")
    assert migration.up.text == f"\n{body}"
    assert migration.up.sql == (
        "\ngrant x to reader; -- shop\nselect 'shop', ':APPLE' from db.t;\n"
    )
    assert migration.up.hidden == ("db", "reader")


@pytest.mark.parametrize(
    "variables",
    [
        {"DATABASE_NAME": "db", "DATABASE_OWNER": "me"},
        {"DATABASE_URL": "postgres://me:secret@host/db"},
    ],
)
def test_reserved_placeholders_come_from_the_environment(
    folder: ForeignFolder, variables: dict[str, str]
) -> None:
    """Values come from the variables of the same name or from DATABASE_URL."""
    body = "alter database :DATABASE_NAME owner to :DATABASE_OWNER;\n"
    migration = folder.read_one(commit(body), **variables)
    assert migration.up.sql == "\nalter database db owner to me;\n"


def test_settings_of_the_session_come_first(folder: ForeignFolder) -> None:
    """Session settings replace the empty line after the headers, so that no line shifts."""
    files = commit("--! no-transaction\ncreate index concurrently i on t (a);\n")
    gmrc = '{ pgSettings: { search_path: "app, it\'s" } }'
    migration = folder.read_one(files | {".gmrc": gmrc})
    assert migration.up.sql == (
        "SELECT pg_catalog.set_config(E'search_path', E'app, it''s', false);\n"
        "--! no-transaction\ncreate index concurrently i on t (a);\n"
    )
    assert migration.up.first_line == 4
    assert analyse_script(migration.up).mode is Mode.STATEMENTS


@pytest.mark.parametrize(
    ("gmrc", "expected"),
    [
        ("{,", ".gmrc:1 cannot be read: Expecting property name enclosed in double quotes."),
        ("[]", ".gmrc is not a JSON object."),
        (
            '{"placeholders": {"app": "x"}}',
            ".gmrc has the placeholder app, which must be :UPPER_CASE with a text.",
        ),
        (
            '{"placeholders": {":NOT_SET": "!ENV"}}',
            ".gmrc takes :NOT_SET from the environment, where NOT_SET is not set.",
        ),
        (
            '{"placeholders": {":DATABASE_NAME": "x"}, "connectionString": "postgres://h/db"}',
            ".gmrc has the placeholder :DATABASE_NAME, which graphile-migrate sets itself.",
        ),
        (
            '{"beforeAllMigrations": [{"_": "sql", "file": "roles.sql"}]}',
            ".gmrc has beforeAllMigrations, and Lockgate does not run actions of graphile-migrate.",
        ),
        (
            '{"afterAllMigrations": ["grants.sql"]}',
            ".gmrc has afterAllMigrations, and Lockgate does not run actions of graphile-migrate.",
        ),
        (
            '{"pgSettings": {"jit": false}}',
            ".gmrc has the setting jit in pgSettings, whose value is not text.",
        ),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(
    folder: ForeignFolder, gmrc: str, expected: str
) -> None:
    """Settings that Lockgate cannot follow are refused, because ignoring them changes the result."""
    message = folder.refuse(commit(SQL) | {"../.gmrc": gmrc})
    assert message == f"{expected}"


def test_place_of_settings_is_seen_from_the_folder(folder: ForeignFolder) -> None:
    """The error's path is relative to the folder, so that a terminal can print one to open."""
    with pytest.raises(MigrationFileInvalid) as caught:
        folder.read(commit(SQL) | {"../.gmrc": "{,"})
    assert ("../.gmrc", 1) == (caught.value.file, caught.value.line)


def test_settings_in_javascript_are_refused(folder: ForeignFolder) -> None:
    """Settings in JavaScript are refused, because only Node.js can evaluate them."""
    expected = ".gmrc.js is a program, and Lockgate cannot run JavaScript."
    assert folder.refuse(commit(SQL) | {"../.gmrc.js": ""}) == expected


def test_likely_placeholder_without_settings_cannot_be_run(folder: ForeignFolder) -> None:
    """Without settings, an apparent placeholder is refused; times and casts are not mistaken for one."""
    harmless = "select to_char(now(), 'HH24:MI:SS'), 1::TEXT;\n"
    assert folder.ids(commit(harmless)) == ["000001"]
    expected = (
        "committed/000001-step.sql:6: the script has :APP_ROLE, which may be a placeholder, and there"
        " is no .gmrc."
    )
    assert folder.obstruct(commit(f"{harmless}grant x to :APP_ROLE;\n")) == expected


def test_reserved_placeholder_without_value_cannot_be_run(folder: ForeignFolder) -> None:
    """A script with a placeholder that has no value is not run."""
    expected = "committed/000001-step.sql:5: the script has :DATABASE_NAME, whose value is unknown."
    assert folder.obstruct(commit("drop database :DATABASE_NAME;\n")) == expected


def test_value_of_several_lines_cannot_be_run(folder: ForeignFolder) -> None:
    """A value with several lines is refused, because it would shift the lines of the file."""
    message = folder.obstruct(commit("select :DATABASE_NAME;\n"), DATABASE_NAME="a\nb")
    assert "whose value has several lines" in message
