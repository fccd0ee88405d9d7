"""Read hostile folders: each is read, or refused with a readable message, within seconds."""

from __future__ import annotations

import os
import socket
import warnings
from typing import TYPE_CHECKING

import pytest
from tests.fuzz.targets import FOREIGN_NAMES

from lockgate.check.check_folder import FolderToCheck, check_folder
from lockgate.check.result import WarningCode
from lockgate.core.history import EMPTY_HISTORY
from lockgate.core.plan import make_plan
from lockgate.core.policy import Atomicity, Policy
from lockgate.core.refusal import find_refusal
from lockgate.errors import LockgateError
from lockgate.formats.registry import read_migrations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.hostile.conftest import Ending
    from tests.support.database import Database

DEEP = 20_000
# Contents that break some kind of parser.
CONTENTS = {
    "nothing": b"",
    "a NUL": b"\0",
    "NULs in SQL": b"SELECT 1;\0\0SELECT 2;",
    "not UTF-8": b"\xff\xfe\x00S",
    "UTF-16": "SELECT 1;".encode("utf-16"),
    "two byte order marks": "\ufeff\ufeffSELECT 1;".encode(),
    "a lone surrogate": b"\xed\xa0\x80",
    "brackets": b"[" * DEEP,
    "braces": b'{"a":' * DEEP,
    "parentheses": b"(" * DEEP,
    "dots": b"a" + b".a" * DEEP,
    "minus signs": b"x = " + b"-" * DEEP + b"1",
    "comments in comments": b"/*" * DEEP,
    "dollar quotes": b"$a$" * (DEEP + 1),
    "a long line": b"x" * 200_000,
    "many lines": b"\n" * 10_000,
    "carriage returns": b"\r" * 10_000,
    "a long number": b"x = " + b"9" * 10_000,
    "a number": b"9" * 5_000,
    "a long version": b'version = "' + b"1." * 10_000 + b'"',
    "equals signs": b"=" * 10_000,
    "a section without an end": b"[a",
    "sections": b"[a]\n" * 10_000,
    "interpolation": b"[alembic]\nscript_location = %(a)s\na = %(script_location)s\n",
    "an entity in itself": b'<!DOCTYPE a [<!ENTITY b "&b;&b;">]><a>&b;</a>',
    "tags": b"<a>" * DEEP,
    "an anchor in itself": b"a: &a [*a, *a]\n",
    "a YAML tag": b"!!python/object/apply:os.system ['true']",
    "indentation": b"".join(b" " * i + b"a:\n" for i in range(300)),
    "an escape": b'"\\ud800"',
    "a TOML date": b"a = 9999-99-99",
    "infinity": b"1e999",
    "not a number": b"NaN",
    "markers": b"-- migrate:up\n-- migrate:down\n" * 1_000,
    "goose markers": b"-- +goose Up\n-- +goose StatementBegin\n" * 300,
    "changesets": b"--liquibase formatted sql\n" + b"--changeset a:1\n" * 300,
    "a plan": b"%syntax-version=1.0.0\n%project=a\n\na 2026-99-99T99:99:99Z x <x> # y\n",
    "variables": b"${" * DEEP,
    "a Python coding": b"# -*- coding: rot13 -*-\nqrs hc(p): cnff\n",
    "an unknown coding": b"# coding: nonsense\ndef up(c): pass\n",
    "a def in a def": b"def up(connection):\n"
    + b"".join(b" " * i + b"if 1:\n" for i in range(1, 120)),
    "an f-string": b'f"' + b"{" * DEEP,
    "lambda": b"up = " + b"lambda: " * DEEP + b"1",
    "psql": b"\\" * DEEP,
    "COPY": b"COPY t FROM stdin;\n" * 2_000,
    "restrict": b"\\restrict a\n" * 5_000,
    "quotes": b"'" * (DEEP + 1),
    "escapes": b"E'" + b"\\" * DEEP,
    "unicode escapes": b"U&'\\" + b"+" * DEEP,
    "identifiers": b'"' * (DEEP + 1),
}
OTHER_NAMES = (
    *("1_a.sql", "1_a.py", "R__a.sql", "0001_a.up.sql", "V1__a.sql", ".env", "dbmate.toml"),
    *("flyway.conf", "liquibase.properties", "atlas.hcl", "alembic.ini", "pyproject.toml"),
    *("knexfile.js", "package.json", "gmrc.js", "diesel.toml", "database.json", "sqitch.conf"),
)
# Names of files that contain a script.
NAMES = {
    "digits without end": "9" * 200 + "_a.sql",
    "a version of parts without end": "1" + "_1" * 100 + ".sql",
    "another script's digits": "\uff11\uff12_a.sql",
    "a superscript": "²_a.sql",
    "a newline": "1_a\nb.sql",
    "an escape": "1_\x1b[31m.sql",
    "from right to left": "1_\u202elqs.sql",
    "not UTF-8": os.fsdecode(b"1_\xff.sql"),
    "a blank": " .sql",
    "no name": ".sql",
    "a name of a version": "1_.sql",
    "a minus": "-1_a.sql",
    "zero": "0_a.sql",
    "the longest": "1_" + "a" * 249 + ".sql",
    "combining": "1_" + "e\u0301" * 80 + ".sql",
    "a quote": "1_a'; DROP TABLE x; --.sql",
    "percent": "1_%s%n{0}.sql",
    "a colon": "C:1_a.sql",
    "a backslash": "1\\a.sql",
}


@pytest.fixture
def read(
    database: Database, tmp_path: Path, end_readably: Callable[..., Ending]
) -> Callable[..., Ending]:
    """Give a function that plans the folder in a format on a real database."""

    def plan(tool: str = "", *, action: str = "plan") -> Ending:
        environment = {**database.environment, "LOCKGATE_MIGRATIONS": str(tmp_path / "m")}
        if tool:
            environment["LOCKGATE_FORMAT"] = tool
        return end_readably(action, "--json", environment=environment)

    (tmp_path / "m").mkdir()
    return plan


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_any_content_of_any_file_is_read_or_refused(
    tmp_path: Path, hurry: None, content: bytes
) -> None:
    """Any content of any file that a tool reads is read or refused, in its own format and in auto."""
    del hurry
    folder = tmp_path / "m"
    for tool, names in {**FOREIGN_NAMES, "lockgate": OTHER_NAMES}.items():
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            for chosen in {tool, "auto"}:
                read_readably(chosen, folder)
            path.unlink()


def read_readably(tool: str, folder: Path) -> None:
    """Read a folder and plan its migrations, or get a Lockgate error; a check finds the same."""
    refusal: LockgateError | None = None
    with warnings.catch_warnings(record=True):
        try:
            catalog = read_migrations(tool, folder, {})
            plan = make_plan(catalog, EMPTY_HISTORY, Policy())
            refusal = find_refusal(plan, Policy())
        except LockgateError as error:
            refusal = error
        checked = check_folder(FolderToCheck(folder, tool, Atomicity.AUTO, {}))
    assert refusal is None or refusal.message
    if not any(one.code == WarningCode.VARIABLE_NOT_SET for one in checked.warnings):
        expected = [] if refusal is None else [refusal.message]
        assert expected == [problem.message for problem in checked.problems[:1]]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_of_a_file_is_read_or_refused(
    read: Callable[..., Ending], end_readably: Callable[..., Ending], tmp_path: Path, name: str
) -> None:
    """Any file name is read or refused in each format, checked, planned and applied."""
    (tmp_path / "m" / name).write_text("SELECT 1;")
    for tool in ("", "auto", *FOREIGN_NAMES):
        assert read(tool).report is not None
        options = ("--dir", str(tmp_path / "m"), *(("--format", tool) if tool else ()))
        assert end_readably("check", "--json", *options).out.startswith("{")
        end_readably("check", *options)
    assert read(action="up").report is not None


def make_fifo(path: Path) -> None:
    """Create a FIFO without a writer."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """Create a socket, even if its path is too long for a socket address."""
    here = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


def make_deep(path: Path) -> None:
    """Create deeply nested folders."""
    here = path.with_suffix("")
    for _ in range(200):
        here /= "d"
    here.mkdir(parents=True, exist_ok=True)
    (here / path.name).write_text("SELECT 1;")


THINGS: dict[str, Callable[[Path], object]] = {
    "a FIFO": make_fifo,
    "a socket": make_socket,
    "folders in folders": make_deep,
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to the folder": lambda path: path.symlink_to("."),
    "a link to the root": lambda path: path.symlink_to("/"),
    "a link to zeros": lambda path: path.symlink_to("/dev/zero"),
    "a link to noise": lambda path: path.symlink_to("/dev/urandom"),
    "a link to nothing at all": lambda path: path.symlink_to("/dev/null"),
    "a link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to a process": lambda path: path.symlink_to("/proc/self/mem"),
    "a sparse file": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40),
    "a file that nobody may read": lambda path: path.touch(mode=0),
}


# A folder is read or left out, and root may read any file.
NO_FILES = [
    one for one in THINGS if "folder" not in one and "nobody" not in one and "root" not in one
]
# Format, and the name that it reads.
READ = {("", "1_a.sql"), ("", "1_a.py"), ("flyway", "V1__a.sql")}


@pytest.mark.parametrize("thing", THINGS)
def test_anything_that_is_not_a_file_is_refused(
    read: Callable[..., Ending], end_readably: Callable[..., Ending], tmp_path: Path, thing: str
) -> None:
    """Special files, endless files and broken links are refused by name under any name that is read."""
    for name in ("1_a.sql", "1_a.py", "atlas.sum", ".gmrc", "V1__a.sql"):
        path = tmp_path / "m" / name
        THINGS[thing](path)
        for tool in ("", "auto", "flyway", "graphile-migrate"):
            ending = read(tool)
            assert ending.report is not None
            if thing in NO_FILES and (tool, name) in READ:
                assert (2, "migration-file-invalid") == (ending.status, ending.code)
                assert name in ending.report["error"]["message"]
            options = ("--dir", str(tmp_path / "m"), *(("--format", tool) if tool else ()))
            assert end_readably("check", "--json", *options).out.startswith("{")
            end_readably("check", *options)
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)


@pytest.mark.parametrize("make", THINGS.values(), ids=THINGS)
def test_anything_in_place_of_the_folder_is_refused(
    read: Callable[..., Ending], tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """Special files, endless files and broken links in place of the folder are refused."""
    (tmp_path / "m").rmdir()
    make(tmp_path / "m")
    assert read().report is not None
