"""Read Liquibase's texts, delimiters, paths and checksums, and run its folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.formats.liquibase.cases import HEAD, make_table
from tests.support.tables import make_ask

from lockgate.core.request import Action
from lockgate.formats.liquibase import table as liquibase
from lockgate.formats.liquibase.parameters import is_for_database
from lockgate.formats.liquibase.reader import read_folder
from lockgate.formats.liquibase.text import (
    DelimiterUnusable,
    read_delimiters,
    replace_delimiters,
    strip_body_comments,
)
from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState
from lockgate.report.report import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.database import Database
    from tests.support.project import Project

    from lockgate.core.catalog import Catalog


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


# Text. The expected values were observed with Liquibase.


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


# The history table.


@pytest.mark.parametrize(
    ("kind", "state"), [("FAILED", ForeignState.FAILED), ("SKIPPED", ForeignState.UNKNOWN)]
)
def test_other_rows_say_what_to_do(database: Database, kind: str, state: ForeignState) -> None:
    """A failed or skipped row blocks adoption and explains how to fix it."""
    database.run(make_table(("1", kind)))
    (row,) = liquibase.read_table(make_ask(database), "public.databasechangelog").rows
    assert state is row.state
    assert row.detail is not None
    assert "adopt again" in row.detail


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("db/a.sql", "db/a.sql"),
        ("classpath:db/a.sql", "db/a.sql"),
        ("classpath*:/db/a.sql", "db/a.sql"),
        ("./db\\a.sql", "db/a.sql"),
        ("/db/a.sql", "db/a.sql"),
    ],
)
def test_path_has_one_spelling(path: str, expected: str) -> None:
    """Different spellings of a path become one, as in Liquibase."""
    assert expected == liquibase.normalise_path(path)


def make_catalog(folder: Path, changesets: dict[str, str]) -> Catalog:
    """Return the catalog of files with one changeset each."""
    for name, changeset in changesets.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{HEAD}--changeset {changeset}")
    return read_folder(folder, {})


def align(catalog: Catalog, recorded: list[str]) -> list[str]:
    """Return the ids of the rows after alignment."""
    history = ForeignHistory("t", tuple(map(ForeignRow, recorded)))
    return [row.version for row in liquibase.align(history, catalog).rows]


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (["db/a.sql::1::x", "db/sub/b.sql::1::x"], ["a.sql::1::x", "sub/b.sql::1::x"]),
        (["a.sql::1::x", "sub/b.sql::1::x"], ["a.sql::1::x", "sub/b.sql::1::x"]),
        (["db/a.sql::1::x", "else/c.sql::1::x"], ["a.sql::1::x", "else/c.sql::1::x"]),
        (["db/a.sql::2::x"], ["db/a.sql::2::x"]),
        (["b.sql::1::x"], ["sub/b.sql::1::x"]),
    ],
)
def test_path_from_another_starting_point_is_the_same_path(
    tmp_path: Path, recorded: list[str], expected: list[str]
) -> None:
    """Recorded paths match the catalog's if they differ only by a leading folder."""
    catalog = make_catalog(tmp_path, {"a.sql": "x:1\nSELECT 1;", "sub/b.sql": "x:1\nSELECT 1;"})
    assert expected == align(catalog, recorded)


@pytest.mark.parametrize(
    ("valid", "is_accepted"), [("any", True), ("1:any", True), ("9:AB", True), ("9:cd", False)]
)
def test_sum_that_the_changeset_accepts_is_accepted(
    tmp_path: Path, valid: str, *, is_accepted: bool
) -> None:
    """A validCheckSum line accepts a recorded checksum and leaves the file's own unchanged."""
    plain = make_catalog(tmp_path, {"a.sql": "a:1\nSELECT 1;\n"}).migrations[0]
    text = f"a:1\n--validCheckSum: {valid}\nSELECT 1;\n"
    (migration,) = make_catalog(tmp_path, {"a.sql": text}).migrations
    assert is_accepted is liquibase.matches_checksum(tmp_path, migration, "9:ab")
    assert liquibase.file_checksum(tmp_path, plain) == liquibase.file_checksum(tmp_path, migration)


def test_sum_with_parameters_is_that_of_the_filled_in_text(tmp_path: Path) -> None:
    """The checksum covers filled-in parameters; if other text was replaced too, there is none."""
    for name, text in (("a", "SELECT '${x}';"), ("b", "SELECT $$ /* */ ${x} $$;")):
        (tmp_path / f"{name}.sql").write_text(f"{HEAD}--changeset a:1\n{text}\n")
    (tmp_path / "c.sql").write_text(f"{HEAD}--changeset a:1\nSELECT '1';\n")
    catalog = read_folder(tmp_path, {"X": "1"})
    filled, unknown, plain = (
        liquibase.file_checksum(tmp_path, migration) for migration in catalog.migrations
    )
    assert (plain, None) == (filled, unknown)
    assert liquibase.matches_checksum(tmp_path, catalog.migrations[1], "9:ab")


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
