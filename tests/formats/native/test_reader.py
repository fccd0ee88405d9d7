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
        folder = tmp_path / "migrations"
        folder.mkdir()
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_folder(folder, variables or {})

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


def test_folder_is_read_into_versioned_then_repeatable_migrations(read: Read) -> None:
    """Versioned migrations are ordered by number, and repeatables follow by name."""
    catalog = read(
        {
            "R__b_view.sql": SQL,
            "10_ten.sql": SQL,
            "9_nine.sql": SQL,
            "R__a_view.sql": SQL,
            "20261122093000_create_accounts.sql": SQL,
        }
    )
    expected = ["9", "10", "20261122093000", "R__a_view", "R__b_view"]
    assert expected == [m.migration_id for m in catalog.migrations]


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


def test_repeatable_has_a_name_and_no_version(read_one: ReadOne) -> None:
    """A repeatable's name is the text after ``R__``, and its id includes the prefix."""
    migration = read_one(SQL, "R__account_balance_view.sql")
    expected = (None, "account_balance_view", Kind.REPEATABLE, "R__account_balance_view")
    assert expected == (
        migration.version,
        migration.name,
        migration.kind,
        migration.migration_id,
    )


@pytest.mark.parametrize(
    ("name", "version", "title"),
    [
        ("7.sql", "7", ""),
        ("0007_.sql", "0007", ""),
        ("0007_add_a_b.sql", "0007", "add_a_b"),
        ("0007_größer.sql", "0007", "größer"),
        ("0007_a.b c.sql", "0007", "a.b c"),
    ],
)
def test_version_and_name_are_cut_at_the_first_underscore(
    read_one: ReadOne, name: str, version: str, title: str
) -> None:
    """A name may contain any characters or be empty."""
    migration = read_one(SQL, name)
    assert (version, title) == (str(migration.version), migration.name)


def test_subfolders_are_read_and_belong_to_the_path(read: Read) -> None:
    """Migrations in subfolders are ordered by version with all others."""
    catalog = read({"2026/b/0002_b.sql": SQL, "0003_c.sql": SQL, "2025/0001_a.sql": SQL})
    expected = ["2025/0001_a.sql", "2026/b/0002_b.sql", "0003_c.sql"]
    assert expected == [m.path for m in catalog.migrations]


def test_files_of_other_kinds_are_passed_over(read: Read) -> None:
    """Other file types, hidden files and folders, and Python caches are ignored."""
    catalog = read(
        {
            "0001_a.sql": SQL,
            "README.md": "#",
            ".0002_b.sql": SQL,
            "__init__.py": "",
            ".git/0003_c.sql": SQL,
            "__pycache__/0004_d.py": "",
        }
    )
    assert ["0001"] == [m.migration_id for m in catalog.migrations]


def test_missing_folder_is_refused_with_its_path(tmp_path: Path) -> None:
    """The error names the missing folder."""
    with pytest.raises(MigrationFileInvalid) as caught:
        read_folder(tmp_path / "gone", {})
    assert f"The migrations folder {tmp_path / 'gone'} does not exist." == str(caught.value)


@pytest.mark.parametrize("files", [{}, {"README.md": "#"}, {".hidden/0001_a.sql": SQL}])
def test_folder_without_migrations_is_refused(
    refuse: Fail, files: dict[str, str | bytes], tmp_path: Path
) -> None:
    """A folder without migrations is refused, since it points to a packaging mistake."""
    expected = f"The migrations folder {tmp_path / 'migrations'} contains no migrations."
    assert expected == refuse(files).message


@pytest.mark.parametrize(
    "name",
    [
        "create_accounts.sql",
        "V1__create.sql",
        "1-create.sql",
        "1.2_create.sql",
        "R_view.sql",
        "R__.sql",
        "R__view.py",
        "0001_a.SQL",
        "helpers.py",
        "sub/x.sql",
    ],
)
def test_file_with_another_name_is_refused(refuse: Fail, name: str) -> None:
    """An .sql or .py file with another name is refused rather than ignored."""
    error = refuse({"0001_b.sql": SQL, name: SQL})
    assert f"{name} is not a valid migration file name." == error.message
    assert (name, None, None) == place_of(error)


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


@pytest.mark.parametrize(
    ("one", "other", "version"),
    [
        ("0001_a.sql", "0001_b.sql", "0001"),
        ("0001_b.sql", "1_a.sql", "1"),
        ("1.sql", "1_a.py", "1"),
        ("0001_a.sql", "later/0001_a.sql", "0001"),
    ],
)
def test_two_files_with_one_version_are_refused(
    refuse: Fail, one: str, other: str, version: str
) -> None:
    """A version is unique across leading zeros, languages and folders."""
    content = "def up(connection):\n    pass\n"
    error = refuse({one: SQL, other: content if other.endswith(".py") else SQL})
    assert f"Two files have version {version}: {one} and {other}." == error.message


def test_two_repeatables_with_one_name_are_refused(refuse: Fail) -> None:
    """A repeatable's name is unique across folders."""
    error = refuse({"R__v.sql": SQL, "b/R__v.sql": SQL})
    assert "Two files have the name v: R__v.sql and b/R__v.sql." == error.message


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


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_markers_are_found_in_every_encoding_of_a_text(
    read_one: ReadOne, ending: str, bom: str
) -> None:
    """A byte order mark and the kind of line ending do not affect scripts, options or checksums."""
    text = "-- migrate:up lock_timeout:1s\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"
    migration = read_one(bom + text.replace("\n", ending))
    assert migration.down is not None
    expected = (
        f"{ending}SELECT 1;{ending}",
        f"{ending}SELECT 2;{ending}",
        (1, 3),
        Options(lock_timeout_ms=1_000),
        text_checksum("\nSELECT 1;\n"),
    )
    assert expected == (
        migration.up.text,
        migration.down.text,
        (migration.up.first_line, migration.down.first_line),
        migration.up.options,
        migration.up.checksum,
    )


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


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (
            "-- migrate:down\nSELECT 1;\n-- migrate:up\nSELECT 2;\n",
            3,
            "-- migrate:up is below -- migrate:down.",
        ),
        (
            "-- migrate:up\nSELECT 1;\n-- migrate:up\nSELECT 2;\n",
            3,
            "a second -- migrate:up.",
        ),
        (
            "-- migrate:up\n-- migrate:down\n-- migrate:down\n",
            3,
            "a second -- migrate:down.",
        ),
        (
            "-- note\nSELECT 1;\n-- migrate:up\nSELECT 2;\n",
            2,
            "there is SQL above the first marker.",
        ),
        ("/* open\n-- migrate:up\nSELECT 2;\n", 1, "there is SQL above the first marker."),
        (
            "-- note\n-- migrate:env on\n-- migrate:up\nSELECT 2;\n",
            2,
            "-- migrate:env is above the first marker.",
        ),
        (
            "-- migrate:verify SELECT true\n-- migrate:up\nSELECT 2;\n",
            1,
            "-- migrate:verify is above the first marker.",
        ),
        ("-- migrate:upp\n", 1, "unknown marker -- migrate:upp; did you mean up?"),
        ("-- migrate:UP\n", 1, "unknown marker -- migrate:UP; did you mean up?"),
        ("-- migrate:dwon\n", 1, "unknown marker -- migrate:dwon; did you mean down?"),
        ("\n-- migrate:backfill table:t\n", 2, "unknown marker -- migrate:backfill."),
        ("-- migrate:\n", 1, "unknown marker -- migrate:."),
    ],
)
def test_wrong_marker_is_refused_with_its_line(
    refuse: Fail, content: str, line: int, problem: str
) -> None:
    """An unknown, duplicate or misplaced marker, or SQL above the first one, is refused."""
    error = refuse({"0001_a.sql": content})
    assert f"0001_a.sql:{line}: {problem}" == error.message
    assert ("0001_a.sql", line, None) == place_of(error)


def test_down_without_up_is_refused(refuse: Fail) -> None:
    """A down script without an up script is refused."""
    error = refuse({"0001_a.sql": "-- migrate:down\nSELECT 1;\n"})
    assert "0001_a.sql has a down script but no up script." == error.message


def test_repeatable_with_down_is_refused(refuse: Fail) -> None:
    """A repeatable with a down script is refused."""
    error = refuse({"R__v.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"})
    assert "R__v.sql is repeatable and has a down script." == error.message


# Options.


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", Options()),
        (" transaction:false", Options(transaction=False)),
        (" transaction:true", Options(transaction=True)),
        (" lock_timeout:500ms", Options(lock_timeout_ms=500)),
        (" lock_timeout:0", Options(lock_timeout_ms=0)),
        (" statement_timeout:10min", Options(statement_timeout_ms=600_000)),
        (
            "\ttransaction:false  lock_timeout:1h statement_timeout:1d ",
            Options(transaction=False, lock_timeout_ms=3_600_000, statement_timeout_ms=86_400_000),
        ),
    ],
)
def test_options_on_the_marker_line_are_read(
    read_one: ReadOne, options: str, expected: Options
) -> None:
    """Options are ``key:value`` words in any order."""
    assert expected == read_one(f"-- migrate:up{options}\nSELECT 1;\n").up.options


def test_options_belong_to_their_own_script(read_one: ReadOne) -> None:
    """Up and down scripts have separate options."""
    migration = read_one("-- migrate:up lock_timeout:1s\n-- migrate:down transaction:false\n")
    assert migration.down is not None
    expected = (Options(lock_timeout_ms=1_000), Options(transaction=False))
    assert expected == (migration.up.options, migration.down.options)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("transactoin:false", "unknown option transactoin:false; did you mean transaction?"),
        ("timeout:5s", "unknown option timeout:5s; did you mean lock_timeout?"),
        ("transaction", "unknown option transaction; did you mean transaction?"),
        ("lock_timeout: 5s", 'lock_timeout cannot be ""; it takes a duration such as 5s or 10min.'),
        ("nonsense", "unknown option nonsense."),
        ("transaction:true transaction:false", "transaction is set twice."),
        ("lock_timeout:1s transaction:true lock_timeout:1s", "lock_timeout is set twice."),
        ("transaction:no", 'transaction cannot be "no"; it takes true or false.'),
        ("transaction:False", 'transaction cannot be "False"; it takes true or false.'),
        ("lock_timeout:5", 'lock_timeout cannot be "5"; it takes a duration such as 5s or 10min.'),
        (
            "statement_timeout:30d",
            'statement_timeout cannot be "30d"; it takes a duration such as 5s or 10min.',
        ),
    ],
)
def test_wrong_option_is_refused_with_the_nearest(refuse: Fail, options: str, problem: str) -> None:
    """An unknown option or an invalid value is refused, with the nearest name as a suggestion."""
    error = refuse({"0001_a.sql": f"\n-- migrate:up {options}\nSELECT 1;\n"})
    assert f"0001_a.sql:2: {problem}" == error.message
    assert ("0001_a.sql", 2, None) == place_of(error)


# Substitution.


def test_variables_are_filled_in_only_where_the_file_says_so(read: Read) -> None:
    """Variables are replaced only between on and off; text and checksum stay those of the file."""
    text = (
        "-- migrate:up\nSELECT '${A}';\n-- migrate:env on\nSELECT '${A}', '${B:-b}', '$A', '${}';\n"
        "-- migrate:env off\nSELECT '${A}';\n"
    )
    (migration,) = read({"0001_a.sql": text}, {"A": "a"}).migrations
    script = text.removeprefix("-- migrate:up")
    expected = (
        script,
        script.replace("'${A}', '${B:-b}'", "'a', 'b'"),
        text_checksum(script),
    )
    assert expected == (migration.up.text, migration.up.sql, migration.up.checksum)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_substitution_is_turned_on_over_every_line_ending(read: Read, ending: str) -> None:
    """Substitution works with every kind of line ending."""
    text = "  -- migrate:env on \nSELECT '${A}';\n".replace("\n", ending)
    (migration,) = read({"0001_a.sql": text}, {"A": "a"}).migrations
    assert text.replace("${A}", "a") == migration.up.sql


@pytest.mark.parametrize(
    ("variables", "expected"), [({}, "d"), ({"A": ""}, ""), ({"A": "${B}", "B": "x"}, "${B}")]
)
def test_default_counts_where_a_variable_is_not_set(
    read: Read, variables: dict[str, str], expected: str
) -> None:
    """An empty variable counts as set, and a value is not substituted again."""
    (migration,) = read({"1.sql": "-- migrate:env on\n${A:-d}\n"}, variables).migrations
    assert f"-- migrate:env on\n{expected}\n" == migration.up.sql


def test_substitution_ends_with_its_script(read: Read) -> None:
    """Substitution that is on in the up script is off in the down script."""
    text = "-- migrate:up\n-- migrate:env on\n${A}\n-- migrate:down\n${A}\n"
    (migration,) = read({"1.sql": text}, {"A": "a"}).migrations
    assert migration.down is not None
    assert "\n${A}\n" == migration.down.sql


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_variable_that_is_not_set_is_refused_with_its_line(refuse: Fail, ending: str) -> None:
    """A missing variable is refused instead of becoming empty."""
    text = "-- migrate:up\n-- migrate:env on\n\nSELECT '${TEAM}';\n".replace("\n", ending)
    error = refuse({"0001_a.sql": text}, {"TEAMS": "x"})
    assert "0001_a.sql:4: the variable TEAM is not set." == error.message
    assert "Set TEAM in the environment, or write ${TEAM:-a default}." == error.hint


@pytest.mark.parametrize("word", ["", "yes", "ON", "on off"])
def test_switch_other_than_on_and_off_is_refused(refuse: Fail, word: str) -> None:
    """The switch accepts only on and off."""
    error = refuse({"0001_a.sql": f"SELECT 1;\n-- migrate:env {word}\n"})
    expected = f'0001_a.sql:2: -- migrate:env takes on or off, not "{word}".'
    assert expected == error.message


@pytest.mark.parametrize("value", ["one\ntwo", "one\r", "\r\n"])
def test_value_of_several_lines_is_refused(refuse: Fail, value: str) -> None:
    """A value with several lines is refused, because it would shift the line numbers of errors."""
    error = refuse({"0001_a.sql": "\n-- migrate:env on\nSELECT '${TEXT}';\n"}, {"TEXT": value})
    assert "0001_a.sql:3: the value of TEXT has several lines." == error.message
    assert ("0001_a.sql", 3, None) == place_of(error)


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


@pytest.mark.parametrize(
    ("head", "transaction"),
    [
        ("", None),
        ("transaction = True", True),
        ("transaction: bool = False", False),
        ("\ufefftransaction = False", False),
    ],
)
def test_python_migration_has_no_down_unless_it_defines_one(
    read_one: ReadOne, head: str, *, transaction: bool | None
) -> None:
    """Without a function ``down`` there is no down script, and ``transaction`` is optional."""
    migration = read_one(f"{head}\ndef up(connection): ...\n", "0001_a.py")
    assert (None, transaction) == (migration.down, migration.up.options.transaction)


@pytest.mark.parametrize(
    ("content", "problem", "place"),
    [
        ("def down(connection): ...\n", " has no function up(connection).", (None, None)),
        ("async def up(connection): ...\n", " defines up as an async function.", (1, None)),
        (
            "\ndef up(): ...\n",
            ":2: up must take one argument, the connection.",
            (2, None),
        ),
        (
            "def up(connection): ...\ndef down(connection, how): ...\n",
            ":2: down must take one argument, the connection.",
            (2, None),
        ),
        (
            "transaction = 'no'\ndef up(connection): ...\n",
            ":1: transaction must be a literal True or False.",
            (1, None),
        ),
        ("\ndef up(connection) ...\n", ":2: Python syntax error: expected ':'.", (2, 20)),
    ],
)
def test_python_file_that_is_no_migration_is_refused(
    refuse: Fail, content: str, problem: str, place: tuple[int | None, int | None]
) -> None:
    """The error names what is missing or wrong, with its line if there is one."""
    error = refuse({"0001_a.py": content})
    assert f"0001_a.py{problem}" == error.message
    assert ("0001_a.py", *place) == place_of(error)


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
