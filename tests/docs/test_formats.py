"""Compare ``docs/formats.md`` with the code: checksums, options and refusals."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from tests.docs.markdown import list_undocumented, read_table

from lockgate.core.checksum import text_checksum
from lockgate.core.history import EMPTY_HISTORY
from lockgate.core.plan import make_plan
from lockgate.core.policy import Policy
from lockgate.core.token_checksum import token_checksum
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.names import list_tools
from lockgate.formats.native import script as native_script
from lockgate.formats.native.reader import read_folder

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/formats.md"
VECTORS = read_table(PAGE, "| text | checksums |")

# Quoted phrases with a folder that causes each; a value of type text is a link's target.
REFUSED: dict[str, dict[str, bytes | str]] = {
    "does not exist": {},
    "contains no migrations": {"README.md": b""},
    "is not a valid migration file name": {"V1__a.sql": b""},
    "which looks like the start of a down script": {"1.sql": b"-- Down Migration"},
    "after SQL on the same line": {"1_a.sql": b"SELECT 1; -- migrate:down"},
    "has the name of another tool's down script": {"1_a.down.sql": b""},
    "Two files have version 7": {"7_a.sql": b"", "0007_b.sql": b""},
    "the file is not UTF-8": {"1.sql": b"\xff"},
    "the name is not UTF-8": {"1_\udcff.sql": b""},
    "the name contains a control character": {"1_\n.sql": b""},
    "cannot be read": {"1.sql": "nowhere"},
    "is a link to a folder that is already read": {"a": "."},
    "unknown marker": {"1.sql": b"-- migrate:upp"},
    "a second -- migrate:up": {"1.sql": b"-- migrate:up\n-- migrate:up"},
    "is below": {"1.sql": b"-- migrate:down\n-- migrate:up"},
    "there is SQL above the first marker": {"1.sql": b"SELECT 1;\n-- migrate:up"},
    "has a down script but no up script": {"1.sql": b"-- migrate:down"},
    "is repeatable and has a down script": {"R__v.sql": b"-- migrate:up\n-- migrate:down"},
    "unknown option": {"1.sql": b"-- migrate:up transactoin:false"},
    "it takes": {"1.sql": b"-- migrate:up transaction:no"},
    "is set twice": {"1.sql": b"-- migrate:up transaction:true transaction:false"},
    "the variable TEAM is not set": {"1.sql": b"-- migrate:env on\n${TEAM}"},
    "is withheld from migrations": {"1.sql": b"-- migrate:env on\n${AWS_REGION}"},
    "has several lines": {"1.sql": b"-- migrate:env on\n${LINES}"},
    "Python syntax error": {"1.py": b"def up("},
    "has no function up(connection)": {"1.py": b""},
    "so that calling it does nothing": {"1.py": b"def up(connection): yield"},
    "unterminated": {"1.sql": b"SELECT 'open"},
    "unbalanced": {"1.sql": b"SELECT (1"},
    "psql meta-command": {"1.sql": b"\\d"},
    "cannot run inside a transaction block, but other statements of the file can": {
        "1.sql": b"SELECT 1; VACUUM"
    },
    "the file's own transaction cannot be followed": {"1.sql": b"BEGIN; SELECT 1"},
    "and is sent as UTF-8": {"1.sql": b"SET client_encoding = 'LATIN1'"},
}


@pytest.mark.parametrize(("text", "checksums"), VECTORS, ids=lambda cell: cell[:30])
def test_golden_vector_is_computed_equal(text: str, checksums: str) -> None:
    """Both checksums of each documented text are correct."""
    value = json.loads(text.strip("`"))
    expected = [part.strip("`") for part in checksums.split("<br>")]
    assert expected == [text_checksum(value), token_checksum(value)]


def test_each_tool_has_its_page_and_its_row() -> None:
    """Each tool has a page and a row, and each row names a tool."""
    rows = read_table("docs/formats/README.md", "| tool | format | tested against |")

    assert [] == list_undocumented(list_tools())
    assert set(list_tools()) == {row[1].strip("`") for row in rows}


def test_vectors_cover_what_does_not_count() -> None:
    """The documented texts include a Windows line ending and a comment."""
    texts = "".join(json.loads(row[0].strip("`")) for row in VECTORS)
    assert "\r\n" in texts
    assert "--" in texts


def test_every_option_is_documented() -> None:
    """The table lists all options and no others."""
    rows = read_table(PAGE, "| option | value | default |")
    assert list(native_script._OPTIONS) == [row[0].strip("`") for row in rows]


def test_every_phrase_of_a_refusal_has_an_example_here() -> None:
    """The phrases on the page are those that the next test checks."""
    rows = read_table(PAGE, "| found | the message contains |")
    assert list(REFUSED) == [phrase for row in rows for phrase in re.findall(r"`([^`]+)`", row[1])]


@pytest.mark.parametrize(("phrase", "files"), REFUSED.items())
def test_refusal_is_as_quoted_on_the_page(
    phrase: str, files: dict[str, bytes | str], tmp_path: Path
) -> None:
    """Each quoted phrase occurs in the message of a refusal."""
    folder = tmp_path / "migrations"
    for name, content in files.items():
        folder.mkdir(exist_ok=True)
        if isinstance(content, str):
            (folder / name).symlink_to(content)
        else:
            (folder / name).write_bytes(content)
    with pytest.raises(MigrationFileInvalid, match=re.escape(phrase)):
        make_plan(read_folder(folder, {"LINES": "1\n2"}), EMPTY_HISTORY, Policy())
