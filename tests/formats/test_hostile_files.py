"""Refuse special files and files that cannot be parsed, by name and without hanging."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

import pytest
from tests.formats.kit import list_cases
from tests.support.folders import write_folder

from lockgate.errors import MigrationFileInvalid
from lockgate.formats.names import AUTO_FORMAT, list_formats
from lockgate.formats.registry import read_migrations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.formats.kit import Files

# Long enough for a busy machine; a hang never ends.
MOST_SECONDS = 10.0
SQL = "SELECT 1;\n"
# Format, files of a valid folder, and the file to replace.
PLACES = [(cases.name, one.files, one.path) for cases in list_cases() for one in cases.places]
NESTED = {
    "json": "[" * 100_000,
    "object": '{"a":' * 20_000,
    "toml": "a = " + "[" * 100_000,
    "dotted": "a" + ".a" * 50_000 + " = 1",
    "python": "x = " + "-" * 100_000 + "1",
    "python_calls": "f" + "()" * 50_000,
    "long_number": '{"a": ' + "9" * 10_000 + "}",
    "no_text": "\0" * 1000,
}


def make_fifo(path: Path) -> None:
    """Create a FIFO without a writer."""
    os.mkfifo(path)


def make_device(path: Path) -> None:
    """Create a link to an endless device."""
    path.symlink_to("/dev/zero")


def make_dangling(path: Path) -> None:
    """Create a dangling link."""
    path.symlink_to("nowhere")


def make_circle(path: Path) -> None:
    """Create a link to itself."""
    path.symlink_to(path.name)


def make_socket(path: Path) -> None:
    """Create a socket."""
    here = os.getcwd()  # noqa: PTH109 - a socket's address is short
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(here)


def make_huge(path: Path) -> None:
    """Create a sparse file of a hundred gigabytes."""
    with path.open("wb") as file:
        file.truncate(100 << 30)


def refuse(name: str, folder: Path) -> str:
    """Return the message with which a folder is refused, within the time limit."""
    begun = time.monotonic()
    with pytest.raises(MigrationFileInvalid) as caught:
        read_migrations(name, folder, {})
    assert time.monotonic() - begun < MOST_SECONDS
    return caught.value.message


@pytest.mark.parametrize(
    "make", [make_fifo, make_device, make_dangling, make_circle, make_socket, make_huge]
)
@pytest.mark.parametrize(("name", "files", "place"), PLACES)
def test_what_is_not_a_file_is_refused_by_name(
    tmp_path: Path, name: str, files: Files, place: str, make: Callable[[Path], None]
) -> None:
    """A FIFO, device, socket, broken link or huge file is refused by name."""
    folder = write_folder(tmp_path / "m", files)
    (folder / place).parent.mkdir(exist_ok=True)
    make(folder / place)
    assert place.rpartition("/")[2] in refuse(name, folder)


@pytest.mark.parametrize("text", NESTED)
@pytest.mark.parametrize(
    ("name", "files", "place"),
    [one for one in PLACES if not one[2].endswith(".sql") or one[0] == "sqitch"],
)
def test_settings_and_programs_that_nobody_can_parse_are_refused_or_read(
    tmp_path: Path, name: str, files: Files, place: str, text: str
) -> None:
    """Deeply nested text is read or refused within the time limit."""
    folder = write_folder(tmp_path / "m", {**files, place: NESTED[text]})
    begun = time.monotonic()
    with contextlib.suppress(MigrationFileInvalid):
        read_migrations(name, folder, {})
    assert time.monotonic() - begun < MOST_SECONDS


@pytest.mark.parametrize("text", NESTED)
def test_gmrc_that_nobody_can_parse_is_refused(tmp_path: Path, text: str) -> None:
    """An unreadable .gmrc beside valid migrations is refused."""
    body = "--! Previous: -\n--! Hash: sha1:93a1e4e7ba9a2f3fbc1e9dff3a7a2f7d5c2a4c30\n"
    files = {"1.sql": f"{body}--! AllowInvalidHash\n\nSELECT 1;\n", ".gmrc": NESTED[text]}
    assert ".gmrc" in refuse("graphile-migrate", write_folder(tmp_path / "m", files))


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("flyway.toml", "flyway = 1"),
        ("flyway.toml", "[flyway]\nplaceholders = 1"),
        ("flyway.toml", "environments = 1\n[flyway]\n"),
        ("flyway.toml", "[environments]\ndefault = 1\n"),
        ("flyway.toml", "[environments.default]\nflyway = 1\n"),
    ],
)
def test_table_that_is_something_else_is_refused(tmp_path: Path, place: str, text: str) -> None:
    """A setting that should be a table but is not is refused."""
    folder = write_folder(tmp_path / "m", {"V1__a.sql": SQL, place: text})
    assert "has no table [" in refuse("flyway", folder)


@pytest.mark.parametrize("name", ["1_a\nb.sql", "1_a\tb.sql", "1_\x1b[31m.sql", "1_\x85.sql"])
@pytest.mark.parametrize("tool", ["lockgate", "dbmate", "goose", "sqlx", "knex", "flyway"])
def test_name_with_a_control_character_is_refused(tmp_path: Path, tool: str, name: str) -> None:
    """A name with a control character is refused, and the message can be printed."""
    folder = write_folder(tmp_path / "m", {name: SQL})
    message = refuse(tool, folder)
    assert "the name contains a control character" in message
    assert message.isprintable()


@pytest.mark.parametrize("tool", [*list_formats(), AUTO_FORMAT])
def test_link_to_a_folder_above_is_refused(tmp_path: Path, tool: str) -> None:
    """A link to a parent folder is refused in every format."""
    folder = write_folder(tmp_path / "m", {"a/b/1_a.sql": SQL})
    (folder / "a" / "b" / "again").symlink_to(folder)
    (folder / "a" / "b" / "once_more").symlink_to(folder / "a")
    refuse(tool, folder)


def test_link_to_a_folder_beside_is_followed(tmp_path: Path) -> None:
    """A link to a folder outside is read like a folder."""
    folder = write_folder(tmp_path / "m", {"1_a.sql": SQL})
    (folder / "more").symlink_to(write_folder(tmp_path / "n", {"2_b.sql": SQL}))
    found = read_migrations("lockgate", folder, {})
    assert ["1", "2"] == [one.migration_id for one in found.migrations]


def test_folder_that_is_linked_twice_is_refused(tmp_path: Path) -> None:
    """The second link to the same folder is refused, with the command that removes it."""
    folder = write_folder(tmp_path / "m", {"1_a.sql": SQL})
    other = write_folder(tmp_path / "n", {"2_b.sql": SQL})
    for name in ("x", "y"):
        (folder / name).symlink_to(other)
    with pytest.raises(
        MigrationFileInvalid, match="is a link to a folder that is already read"
    ) as e:
        read_migrations("lockgate", folder, {})
    assert e.value.hint is not None
    assert e.value.hint.startswith("Remove the link: rm ")


@pytest.mark.parametrize("above", ["", "a"])
def test_link_to_a_folder_above_is_refused_where_it_is(tmp_path: Path, above: str) -> None:
    """A link to a parent folder is refused by its own path."""
    folder = write_folder(tmp_path / "m", {"1_a.sql": SQL, "a/b/2_b.sql": SQL})
    (folder / "a" / "b" / "loop").symlink_to(folder / above)
    with pytest.raises(MigrationFileInvalid) as e:
        read_migrations("lockgate", folder, {})
    assert "Remove the link: rm a/b/loop" == e.value.hint
