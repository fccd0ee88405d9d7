"""Parse Flyway's names, compute its checksums, align its baselines, and run its folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.formats.flyway.cases import FILES, SQL, make_table
from tests.support.folders import write_folder
from tests.support.tables import make_ask

from lockgate.core.request import Action
from lockgate.formats.flyway import table as flyway
from lockgate.formats.flyway.names import Name, NameKind, NameRules, parse_name
from lockgate.formats.flyway.reader import read_folder
from lockgate.report.report import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.database import Database
    from tests.support.project import Project


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


# The values were computed with java.util.zip.CRC32 over the lines of a BufferedReader.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("SELECT 1;\n", 78787420),
        ("\ufeffSELECT 1;\n", 78787420),
        ("SELECT 1;\r\nSELECT 'ü€𝄞';\r\n", -1873320077),
        ("SELECT 1;\rSELECT 2;", -1665099012),
        ("a\u2028b\u0085c\n\n\nd", -839213878),
    ],
)
def test_checksum_is_that_of_the_lines(text: str, expected: int) -> None:
    """Line ends and a byte order mark are ignored, and only Java's line ends split lines."""
    assert expected == flyway.crc32(text)


def test_repeatable_is_summed_up_with_its_values(tmp_path: Path) -> None:
    """A versioned file has one valid checksum; a repeatable also matches its filled-in text."""
    text = "SELECT '${x}';\n"
    for name in ("V1__a.sql", "R__a.sql"):
        (tmp_path / name).write_text(text)
    catalog = read_folder(tmp_path, {"FLYWAY_PLACEHOLDERS_X": "1"})
    raw, filled = str(flyway.crc32(text)), str(flyway.crc32("SELECT '1';\n"))
    found = [
        [flyway.matches_checksum(tmp_path, m, checksum) for checksum in (raw, filled, "0")]
        for m in catalog.migrations
    ]
    assert [[True, False, False], [True, True, False]] == found


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


@pytest.mark.parametrize(("baseline", "expected"), [("2.9", "2"), ("2.0", "2"), ("0", None)])
def test_baseline_need_not_be_a_version_of_the_files(
    database: Database, tmp_path: Path, baseline: str, expected: str | None
) -> None:
    """All files up to the baseline count as applied, even if no file has that version."""
    database.run(make_table((baseline, "base", "BASELINE", None, True)))
    history = flyway.read_table(make_ask(database), flyway.TABLE)
    catalog = read_folder(write_folder(tmp_path / "m", FILES), {})
    assert expected == flyway.align(history, catalog).baseline


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
