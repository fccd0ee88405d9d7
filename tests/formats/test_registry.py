"""Recognise the format of a folder, or refuse an ambiguous one."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.formats.kit import list_cases
from tests.support.folders import write_folder

from lockgate.core.analysis import analyse_script
from lockgate.core.history import EMPTY_HISTORY
from lockgate.core.plan import make_plan
from lockgate.core.policy import Policy
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.registry import read_migrations, recognise_format

if TYPE_CHECKING:
    from pathlib import Path

UP = "CREATE TABLE a ();\n"
DOWN = "DROP TABLE a;\n"
NAME = "Set LOCKGATE_FORMAT (or --format) to one of "

FOLDERS = {cases.name: cases.example for cases in list_cases()}


# Its file names are also valid for sqlx; see the second case below.
@pytest.mark.parametrize("name", [name for name in FOLDERS if name != "golang-migrate"])
def test_folder_of_each_tool_is_recognised_as_its_alone(tmp_path: Path, name: str) -> None:
    """Each tool's folder is recognised as that tool's and no other's."""
    assert name == recognise_format(write_folder(tmp_path / "m", FOLDERS[name]))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"1_a.sql": UP},
            (
                "may belong to 2 tools: lockgate (no marker in 1_a.sql); sqlx (numbered files without"
                " markers, such as 1_a.sql)."
            ),
        ),
        (
            {"1_a.up.sql": UP, "1_a.down.sql": DOWN},
            (
                "may belong to 2 tools: golang-migrate (files in pairs, such as 1_a.down.sql); sqlx"
                " (numbered files without markers, such as 1_a.down.sql)."
            ),
        ),
        ({"a.txt": ""}, "is not recognised as any tool's."),
        (
            {"1_a.sql": f"-- +migrate Up\n{UP}"},
            'is not recognised as any tool\'s: 1_a.sql:1 has the line "-- +migrate Up".',
        ),
    ],
)
def test_folder_that_may_be_of_several_tools_is_left_to_a_person(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    """The message lists the candidates with their reasons, and the hint explains how to choose."""
    folder = write_folder(tmp_path / "m", files)
    with pytest.raises(MigrationFileInvalid) as caught:
        recognise_format(folder)
    assert f"The folder {folder} {expected}" == caught.value.message
    hint = caught.value.hint or ""
    assert hint.startswith(NAME)
    assert ("tells them apart" in hint) is ("may belong to" in expected)


# The SQL files of Rails and graphile-migrate are valid native ones, so these are left out.
@pytest.mark.parametrize(
    "name",
    sorted(FOLDERS.keys() - {"lockgate", "dbmate", "sqlx", "rails", "graphile-migrate"}),
)
def test_folder_of_another_tool_is_not_run_as_a_native_one(tmp_path: Path, name: str) -> None:
    """Without a configured format, the folder is refused, and the hint names the tool."""
    folder = write_folder(tmp_path / "m", FOLDERS[name])
    with pytest.raises(MigrationFileInvalid) as caught:
        make_plan(read_migrations("lockgate", folder, {}), EMPTY_HISTORY, Policy())
    assert f"set LOCKGATE_FORMAT={name} (or --format {name})." in (caught.value.hint or "")


def test_mistake_in_a_native_folder_keeps_its_own_hint(tmp_path: Path) -> None:
    """A misspelled option in a native folder gets no hint about other formats."""
    folder = write_folder(tmp_path / "m", {"1_a.sql": "-- migrate:up transactoin:false\n"})
    with pytest.raises(MigrationFileInvalid) as caught:
        read_migrations("lockgate", folder, {})
    assert "transaction" in (caught.value.hint or caught.value.message)
    assert "LOCKGATE_FORMAT" not in (caught.value.hint or "")


MIXED = "CREATE TABLE a ();\nVACUUM a;\n"


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        (
            "lockgate",
            {"1_a.sql": MIXED},
            ", or write transaction:false on the marker line to run the file statement by statement.",
        ),
        (
            "goose",
            {"1_a.sql": f"-- +goose Up\n{MIXED}"},
            (
                ", or write -- +goose NO TRANSACTION above -- +goose Up to run the file statement by"
                " statement."
            ),
        ),
        (
            "sqlx",
            {"1_a.sql": MIXED},
            ", or begin the file with -- no-transaction to run the file statement by statement.",
        ),
        ("prisma", {"1_a/migration.sql": MIXED}, "."),
    ],
)
def test_hint_on_a_mixture_speaks_the_tools_own_words(
    tmp_path: Path, name: str, files: dict[str, str], expected: str
) -> None:
    """The hint explains how a file of that format turns its transaction off, if it can."""
    catalog = read_migrations(name, write_folder(tmp_path / "m", files), {})
    with pytest.raises(MigrationFileInvalid) as caught:
        analyse_script(catalog.migrations[0].up)
    assert f"Put this statement in a migration of its own{expected}" == caught.value.hint


def test_only_the_chosen_tools_package_is_imported(tmp_path: Path) -> None:
    """Reading one format does not import the packages of others, which would slow every start."""
    folder = write_folder(tmp_path / "m", FOLDERS["goose"])
    program = (
        "import sys; from pathlib import Path; import lockgate.wiring;"
        " from lockgate.formats.registry import read_migrations;"
        f" read_migrations('goose', Path({str(folder)!r}), {{}});"
        " names = [n.split('.') for n in sys.modules if n.startswith('lockgate.formats.')];"
        " print(*sorted({n[2] for n in names if len(n) > 3}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "goose shared" == done.stdout.strip()
