"""Read goose folders: names, annotations, variables, and what Lockgate refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.folders import list_versions, read_refused, write_folder

from lockgate.core.migration import NO_OPTIONS, Options
from lockgate.core.request import Action
from lockgate.formats.goose.reader import read_folder, recognise

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.project import Project

    from lockgate.core.migration import Migration

UP = "-- +goose Up\n"
DOWN = "-- +goose Down\n"
BEGIN = "-- +goose StatementBegin\n"
END = "-- +goose StatementEnd\n"
ON = "-- +goose ENVSUB ON\n"
OFF = "-- +goose ENVSUB OFF\n"
FUNCTION = """\
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$
SELECT 1;
SELECT 'x'
$$;
"""


def read_one(tmp_path: Path, text: str, **variables: str) -> Migration:
    """Return the only migration of a folder."""
    folder = write_folder(tmp_path / "m", {"00001_a.sql": text})
    return read_folder(folder, variables).migrations[0]


def refuse_one(tmp_path: Path, text: str, **variables: str) -> str:
    """Return the reason why a file is refused."""
    folder = write_folder(tmp_path / "m", {"1_a.sql": text})
    return read_refused(read_folder, folder, **variables)


def test_folder_is_read_in_the_order_of_numbers(tmp_path: Path) -> None:
    """Versions are sorted as numbers, and files without a version are ignored."""
    text = UP + "SELECT 1;\n"
    files = {"9_a.sql": text, "10_b.sql": text, "x.sql": "", "0_c.sql": text, "8_d_test.go": ""}
    catalog = read_folder(write_folder(tmp_path / "m", files), {})
    assert [("9", "a"), ("10", "b")] == list_versions(catalog)


def test_script_keeps_its_comments_and_lines(tmp_path: Path) -> None:
    """The text between the annotations stays as it is and keeps its line number."""
    migration = read_one(tmp_path, f"-- about\n{UP}-- why\n{BEGIN}SELECT 1;{DOWN[:0]}\n{END}{DOWN}")
    expected = (f"\n-- why\n{BEGIN}SELECT 1;\n{END}"[:-1], 2, NO_OPTIONS, None)
    up = migration.up
    assert expected == (up.text, up.first_line, up.options, up.substituted)


def test_no_transaction_counts_for_both_directions(tmp_path: Path) -> None:
    """NO TRANSACTION applies to the whole file, anywhere in it and in any case."""
    migration = read_one(tmp_path, f"{UP}SELECT 1;\n{DOWN}-- +GOOSE no transaction\n".lower())
    assert migration.down is not None
    expected = Options(transaction=False)
    assert [expected, expected] == [migration.up.options, migration.down.options]


def test_carriage_returns_are_none_of_a_statement(tmp_path: Path) -> None:
    """Carriage returns are removed, so the database stores the function without them."""
    migration = read_one(tmp_path, f"{UP}{FUNCTION}".replace("\n", "\r\n"))
    assert "\n" + FUNCTION == migration.up.sql


def test_annotation_inside_of_a_statement_does_not_reach_the_server(tmp_path: Path) -> None:
    """An annotation inside a statement is removed before it is sent, but counts in the checksum."""
    text = f"CREATE FUNCTION f() AS $$\n{ON}SELECT '${{A}}';\n{OFF}$$;\n"
    migration = read_one(tmp_path, UP + BEGIN + text + END, A="x")
    sent = f"\n{BEGIN}CREATE FUNCTION f() AS $$\nSELECT 'x';\n$$;\n{END}"
    assert (f"\n{BEGIN}{text}{END}", sent) == (migration.up.text, migration.up.sql)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SELECT '${A}', '$A';", "SELECT 'one', 'one';"),
        ("SELECT '${B:-x}', '${B-x}', '${EMPTY:-x}', '${EMPTY-x}';", "SELECT 'x', 'x', 'x', '';"),
        ("SELECT '${A?must}', '${A:-x}';", "SELECT 'one', 'one';"),
        ("SELECT '$(x) \\\\';", "SELECT '$(x) \\\\';"),
    ],
)
def test_variables_are_filled_in_as_goose_does(tmp_path: Path, line: str, expected: str) -> None:
    """Variables between ENVSUB ON and OFF are replaced, in either spelling and with defaults."""
    migration = read_one(tmp_path, f"{UP}{ON}{line}\n{OFF}SELECT '$A';\n", A="one", EMPTY="")
    sent = migration.up.sql.splitlines()
    assert [expected, "SELECT '$A';"] == [sent[2], sent[4]]


def test_value_from_outside_is_hidden(tmp_path: Path) -> None:
    """A variable's value is masked in messages; a default, which is in the file, is not."""
    migration = read_one(tmp_path, f"{ON}{UP}SELECT '${{A}}', '${{B:-two}}';\n", A="one")
    assert ("one",) == migration.up.hidden


def test_comment_between_statements_is_not_filled_in(tmp_path: Path) -> None:
    """A comment between statements stays as it is."""
    migration = read_one(tmp_path, f"{UP}{ON}-- costs $5\nSELECT 1;\n")
    assert f"\n{ON}-- costs $5\nSELECT 1;\n" == migration.up.sql


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "SELECT 1;\n",
            "1_a.sql:1 has SQL above -- +goose Up. Move it below.",
        ),
        (
            "-- nothing\n",
            "1_a.sql:2 has no -- +goose Up. Put it above the up script.",
        ),
        (
            f"{UP}SELECT 1\n{DOWN}",
            (
                "1_a.sql:2 has an unfinished statement, which goose refuses."
                " End its last line with a semicolon."
            ),
        ),
        (
            f"{UP}{BEGIN}SELECT 1;\n",
            (
                "1_a.sql:2 has a -- +goose StatementBegin without a StatementEnd."
                " Put -- +goose StatementEnd after the statement."
            ),
        ),
        (
            f"{UP}{END}",
            (
                "1_a.sql:2 has a -- +goose StatementEnd in the wrong place."
                " Write StatementBegin and StatementEnd alternately, below -- +goose Up or Down."
            ),
        ),
        (
            f"{UP}{BEGIN}SELECT 1;\n{DOWN}",
            (
                "1_a.sql:4 has a -- +goose Down inside a statement."
                " Put -- +goose StatementEnd above it."
            ),
        ),
        (
            f"{DOWN}{UP}",
            (
                "1_a.sql:1 has a -- +goose Down in the wrong place."
                " Write one -- +goose Up and, after its script, at most one -- +goose Down."
            ),
        ),
        (
            f"{UP} {DOWN}",
            (
                "1_a.sql:2 has an annotation that goose does not know: -- +goose Down."
                " Valid are Up, Down, StatementBegin, StatementEnd, NO TRANSACTION, ENVSUB ON and"
                " ENVSUB OFF, at the start of a line."
            ),
        ),
        (
            f"{UP}{ON}SELECT '${{A}}';\n",
            (
                "1_a.sql:3 needs the variable A, which is not set."
                " Set A in the environment, or write ${A:-a default}."
            ),
        ),
        (
            f"{UP}{ON}SELECT $$x$$;\n",
            (
                "1_a.sql:3 has a dollar sign that goose would read as a variable or an escape."
                " Put -- +goose ENVSUB OFF above the line, and ENVSUB ON below it."
            ),
        ),
    ],
)
def test_file_that_goose_refuses_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    """The error names the file, the line and the fix."""
    assert expected == refuse_one(tmp_path, text)


def test_value_of_several_lines_is_refused(tmp_path: Path) -> None:
    """A value with several lines is refused, because it would shift the lines after it."""
    found = refuse_one(tmp_path, f"{UP}{ON}SELECT '$A';\n", A="1\n2")
    expected = (
        "1_a.sql:3 needs the variable A, whose value has several lines."
        " Give A a value without line breaks: they would shift the lines of the file."
    )
    assert expected == found


def test_go_migration_is_known_by_its_name_and_not_run(project: Project) -> None:
    """A Go migration that goose applied is adopted, and a pending one is refused."""
    project.settings["LOCKGATE_FORMAT"] = "goose"
    project.write({"1_a.sql": f"{UP}CREATE TABLE a ();\n", "2_b.go": "package m"})
    refused = project.run(Action.UP)
    project.database.run(
        "CREATE TABLE goose_db_version (id int, version_id bigint, is_applied bool, tstamp timestamp);"
        "INSERT INTO goose_db_version VALUES (1, 1, true, now()), (2, 2, true, now())"
    )
    adopted = project.do(Action.ADOPT, source="goose", reason="we move")
    project.write({"3_c.sql": f"{UP}CREATE TABLE c ();\n"})
    applied = project.run(Action.UP)
    assert refused.error is not None
    expected = (
        "2_b.go:1: the script is a Go migration, and Lockgate cannot run Go. Nothing was changed."
    )
    assert (expected, "applied") == (refused.error.message, adopted.status)
    assert ["3"] == [entry.version for entry in applied.applied]


def test_script_that_names_gooses_table_gets_it(tmp_path: Path) -> None:
    """A migration that edits goose's history finds the table."""
    folder = write_folder(tmp_path / "m", {"1_a.sql": f"{UP}DELETE FROM goose_db_version;\n"})
    stub = read_folder(folder, {}).stub
    assert stub is not None
    assert "goose_db_version" == stub.table


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1_a.sql": UP.lower()}, "-- +goose Up in 1_a.sql"),
        ({"1_a.sql": "-- +migrate Up\n"}, None),
    ],
)
def test_recognise_answers_for_the_annotation(
    tmp_path: Path, files: dict[str, str], expected: str | None
) -> None:
    """The annotation of goose identifies the folder; that of sql-migrate does not."""
    assert expected == recognise(write_folder(tmp_path / "m", files))
