"""Read folders in the native format, and refuse invalid files and names."""

from __future__ import annotations

import errno
import os
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.folders import write_folder
from tests.support.reach import must_reach, reached

from lockgate.core.checksum import text_checksum
from lockgate.core.listing import list_catalog
from lockgate.core.migration import Kind, Language, Migration, Options, Script, Version
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.native.reader import read_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.core.catalog import Catalog

    Read = Callable[..., Catalog]
    ReadOne = Callable[..., Migration]
    Fail = Callable[..., MigrationFileInvalid]

SQL = "SELECT 1;\n"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Give a function that writes files and reads the folder."""

    def write_and_read(
        files: dict[str, str | bytes], variables: dict[str, str] | None = None
    ) -> Catalog:
        return read_folder(write_folder(tmp_path / "migrations", files), variables or {})

    return write_and_read


@pytest.fixture
def read_one(read: Read) -> ReadOne:
    """Give a function that reads one file, ``0001_a.sql`` unless named."""

    def write_and_read(content: str | bytes, name: str = "0001_a.sql") -> Migration:
        (migration,) = read({name: content}).migrations
        return migration

    return write_and_read


@pytest.fixture
def refuse(read: Read) -> Fail:
    """Give a function that returns the error raised for the files."""

    def write_and_fail(
        files: dict[str, str | bytes], variables: dict[str, str] | None = None
    ) -> MigrationFileInvalid:
        with pytest.raises(MigrationFileInvalid) as caught:
            read(files, variables)
        return caught.value

    return write_and_fail


def place_of(error: MigrationFileInvalid) -> tuple[str | None, int | None, int | None]:
    """Return the file, line and column of an error."""
    return error.file, error.line, error.column


# Names and order.


def test_file_without_markers_is_all_up(read_one: ReadOne) -> None:
    """A file without markers is an up script, unchanged from line 1, and has no down script."""
    expected = Migration(
        version=Version((1,), "0001"),
        name="a",
        kind=Kind.VERSIONED,
        up=Script(
            text="-- all\nSELECT '%s :x $1 ${HOME}';\n",
            path="0001_a.sql",
            first_line=1,
            language=Language.SQL,
            options=Options(),
            checksum=text_checksum("-- all\nSELECT '%s :x $1 ${HOME}';\n"),
        ),
        down=None,
    )
    assert expected == read_one("-- all\nSELECT '%s :x $1 ${HOME}';\n")


@pytest.mark.parametrize("files", [{}, {"README.md": "#"}, {".hidden/0001_a.sql": SQL}])
def test_folder_without_migrations_is_refused(
    refuse: Fail, files: dict[str, str | bytes], tmp_path: Path
) -> None:
    """A folder without migrations is refused, since it points to a packaging mistake."""
    expected = f"The migrations folder {tmp_path / 'migrations'} contains no migrations."
    assert expected == refuse(files).message


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
@pytest.mark.parametrize(
    ("name", "shown"), [(b"1_\xff.sql", r"1_\xff.sql"), (b"gr\xf6n/1.sql", r"gr\xf6n/1.sql")]
)
def test_name_that_is_not_utf8_is_refused(tmp_path: Path, name: bytes, shown: str) -> None:
    """The error shows the undecodable bytes as escapes."""
    path = tmp_path / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(SQL)
    with pytest.raises(MigrationFileInvalid) as caught:
        read_folder(tmp_path, {})
    assert f"{shown}: the name is not UTF-8." == caught.value.message
    assert shown == caught.value.file


# Text.


def test_file_that_is_not_utf8_is_refused_with_its_line(refuse: Fail) -> None:
    """The error's line counts every kind of line ending."""
    error = refuse({"0001_a.sql": b"-- 1\r\n-- 2\r-- 3\n-- gr\xf6\xdfer\n"})
    assert "0001_a.sql:4: the file is not UTF-8." == error.message
    assert ("0001_a.sql", 4, None) == place_of(error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """The error includes the reason that the operating system gives."""
    path = tmp_path / "0001_a.sql"
    path.write_text(SQL)
    path.chmod(0)
    with pytest.raises(
        MigrationFileInvalid, match=r"0001_a\.sql cannot be read: Permission denied"
    ):
        read_folder(tmp_path, {})


def test_folder_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subfolder that cannot be read is refused rather than ignored."""
    (tmp_path / "0001_a.sql").write_text(SQL)
    (tmp_path / "sub").mkdir()
    scan = os.scandir

    def refuse_sub(path: str) -> object:
        if path.endswith("sub"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse_sub)
    with pytest.raises(
        MigrationFileInvalid,
        match=r"The folder .*/sub cannot be read: Permission denied\.",
    ):
        read_folder(tmp_path, {})


def test_large_file_is_read_whole(read_one: ReadOne) -> None:
    """A file longer than one read buffer is read completely."""
    text = "".join(f"SELECT {number};\n" for number in range(40_000))
    assert read_one(text).up.text == text


SCRIPT_TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=200),
    st.lists(
        st.sampled_from(
            [
                *("SELECT 1;", "'", "$$", "${HOME}", "--", "/*", "\ufeff", " ", "é"),
                *("\r\n", "\n") * 3,
            ]
        ),
        min_size=3,
    ).map("".join),
)


@must_reach(line_ending=8, literal=4, several_lines=8)
@given(SCRIPT_TEXTS)
def test_any_text_without_markers_arrives_verbatim(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Text without markers is not interpreted; only a leading byte order mark is removed."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "1.sql").write_bytes(("-- x\n" + text.replace("migrate:", "")).encode())
    (migration,) = read_folder(folder, {"HOME": "no"}).migrations
    reached("line_ending", when="\r" in text)
    reached("literal", when="'" in text or "$$" in text)
    reached("several_lines", when=text.count("\n") > 1)
    assert "-- x\n" + text.replace("migrate:", "") == migration.up.sql


@must_reach(both_have_lines=15, down_begins_late=15)
@given(SCRIPT_TEXTS, SCRIPT_TEXTS)
def test_any_two_scripts_of_a_file_arrive_verbatim(
    tmp_path_factory: pytest.TempPathFactory, up: str, down: str
) -> None:
    """Each script starts after its marker, keeps its text and knows its line."""
    up, down = (text.replace("migrate:", "").replace("\r", "") for text in (up, down))
    reached("both_have_lines", when=up.strip() and down.strip())
    reached("down_begins_late", when="\n" in up)
    up, down = f"\n{up}\n", f"\n{down}"
    folder = tmp_path_factory.mktemp("any")
    (folder / "1.sql").write_bytes(f"-- migrate:up{up}-- migrate:down{down}".encode())
    (migration,) = read_folder(folder, {}).migrations
    assert migration.down is not None
    assert (up, 1) == (migration.up.text, migration.up.first_line)
    assert (down, 1 + up.count("\n")) == (migration.down.text, migration.down.first_line)


# Markers.


@pytest.mark.parametrize(
    "marker",
    ["-- migrate:up", "--migrate:up", "--   migrate:up  ", "  -- migrate:up", "\t-- MIGRATE:up"],
)
def test_marker_is_found_however_it_is_spaced(read_one: ReadOne, marker: str) -> None:
    """Spaces and the case of the prefix do not matter."""
    migration = read_one(f"-- Accounts.\n\n{marker}\nSELECT 1;\n")
    assert ("\nSELECT 1;\n", 3) == (migration.up.text, migration.up.first_line)


def test_marker_after_other_text_on_its_line_is_a_comment(
    read_one: ReadOne,
) -> None:
    """A marker counts only at the beginning of a line."""
    text = "SELECT 1; -- migrate:down\n-- see migrate:down\n"
    assert text == read_one(text).up.text


def test_values_that_were_filled_in_are_known_as_hidden(read: Read) -> None:
    """Substituted values of variables are hidden once each; defaults, which are in the file, are not."""
    text = (
        "-- migrate:up\n-- migrate:env on\n'${A}' '${B}' '${A}' '${EMPTY}' '${NONE:-default}'\n"
        "-- migrate:env off\n'${OFF}'\n-- migrate:down\n-- migrate:env on\n${C}\n"
    )
    variables = {"A": "aa", "B": "bb", "C": "cc", "EMPTY": "", "OFF": "oo", "UNUSED": "uu"}
    (migration,) = read({"1.sql": text}, variables).migrations
    assert migration.down is not None
    assert (("aa", "bb"), ("cc",)) == (migration.up.hidden, migration.down.hidden)
    assert "aa" not in repr(migration)


# Python.


def test_python_migration_is_read_without_being_run(read_one: ReadOne) -> None:
    """Functions and ``transaction`` are read from the syntax tree."""
    text = (
        "import not_there\n\ntransaction = False\n\n\n"
        "def up(connection):\n    pass\n\n\ndef down(connection):\n    pass\n"
    )
    script = Script(
        text=text,
        path="0001_a.py",
        first_line=1,
        language=Language.PYTHON,
        options=Options(transaction=False),
        checksum=text_checksum(text),
    )
    expected = Migration(Version((1,), "0001"), "a", Kind.VERSIONED, script, script)
    assert expected == read_one(text, "0001_a.py")


def test_async_function_is_refused(refuse: Fail) -> None:
    """An async function is refused, with its line."""
    error = refuse({"0001_a.py": "async def up(connection): ...\n"})
    assert "0001_a.py defines up as an async function." == error.message
    assert ("0001_a.py", 1, None) == place_of(error)


def test_order_is_by_number_then_by_name(tmp_path: Path) -> None:
    """Folders and leading zeros do not affect the order, and repeatables come last."""
    files = {
        "sub/0010_j.sql": "-- migrate:up\nSELECT 10;\n-- migrate:down\nSELECT -10;\n",
        "9_i.sql": "SELECT 9;",
        "2_b.py": "def up(connection):\n    pass\n",
        "R__z.sql": "SELECT 1;",
        "R__b.sql": "SELECT 2;",
        "03_c.sql": "-- migrate:up transaction:false\nVACUUM;\n-- migrate:down\nVACUUM;\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    listing = list_catalog(read_folder(tmp_path, {}))
    found = [line.partition(" ")[0] for line in listing.lines]
    assert ["2", "03", "9", "0010", "R__b", "R__z"] == found
    assert 4 == listing.versioned
    down = [line.partition(" ")[0] for line in listing.down_lines(4)]
    assert ["03", "0010"] == down


def test_folder_is_not_held_as_bytes_and_as_text(tmp_path: Path) -> None:
    """While a large folder is read, the bytes of each file are released once they are decoded."""
    for number in range(20):
        (tmp_path / f"{number}_a.sql").write_text(f"-- {'x' * 1_000_000}\n")
    tracemalloc.start()
    try:
        catalog = read_folder(tmp_path, {})
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(catalog.migrations) == 20
    assert held < 21_000_000
    assert peak < 26_000_000
