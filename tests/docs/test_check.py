"""Compare docs/check.md with the command: its outputs, its tables and its JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
from tests.docs.markdown import (
    PAGES,
    ROOT,
    Block,
    find_blocks,
    find_migrations,
    find_pairs,
    read_page,
    read_table,
    to_one_line,
)
from tests.support.folders import write_folder

from lockgate.check.result import CheckResult, WarningCode
from lockgate.terminal.check_command import FILE_SETTINGS
from lockgate.terminal.environment import OPTION_SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/check.md"
SCHEMA = json.loads(read_page("docs/check.schema.json"))


def check(folder: Path, *options: str) -> str:
    """Return the output of `lockgate check` in a folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LOCKGATE_")}
    return subprocess.run(
        [sys.executable, "-m", "lockgate", "check", *options],
        env={**environment, "PYTHONPATH": str(ROOT / "handler")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def find_outputs() -> list[str]:
    """Return the outputs on the page, in order."""
    return [block.text for block in find_blocks(PAGE) if block.words == ("output",)]


def test_output_of_the_first_example_is_what_is_printed(tmp_path: Path) -> None:
    """The page's migrations give the output that the page shows."""
    write_folder(tmp_path / "migrations", find_migrations(PAGE))
    assert find_outputs()[0] == check(tmp_path)


def test_output_of_the_refused_example_is_what_is_printed(tmp_path: Path) -> None:
    """With two mistakes in the page's migrations, the output is that of the page."""
    files = find_migrations(PAGE)
    create, names, _ = sorted(files)
    files[create] = files[create].replace("migrate:up", "migrate:up transactoin:false")
    files["add_names.sql"] = files.pop(names)
    write_folder(tmp_path / "migrations", files)
    assert find_outputs()[1] == check(tmp_path)


def test_output_of_the_build_is_what_is_printed(tmp_path: Path) -> None:
    """The build prints the page's sentence for the page's migrations."""
    from infra import build

    folder = write_folder(tmp_path / "migrations", find_migrations(PAGE))
    packed = build.check_migrations(folder, build.HANDLER, None)
    assert find_outputs()[2] == f"{packed.describe()}\n"


def test_example_of_the_json_is_what_is_printed(tmp_path: Path) -> None:
    """The JSON on the page is valid against the schema, and the one that its file gives."""
    (block,) = (block for block in find_blocks(PAGE) if block.words == ("check",))
    example = json.loads(block.text)
    flaws = jsonschema.Draft202012Validator(SCHEMA).iter_errors(example)
    assert [] == [f"{flaw.json_path}: {flaw.message}" for flaw in flaws]
    name = "20261122093000_create_account.sql"
    text = "-- migrate:up\nCREATE TABLE account ();\n\n-- migrate:down\n"
    write_folder(tmp_path / "migrations", {name: text})
    assert example == json.loads(check(tmp_path, "--json"))


def test_schema_has_the_keys_of_a_result() -> None:
    """The schema names exactly the keys of a result, in the same order, and requires all of them."""
    keys = list(CheckResult("migrations").to_json())
    assert keys == list(SCHEMA["properties"]) == SCHEMA["required"]


def test_every_warning_has_its_row() -> None:
    """The table and the schema list each warning."""
    codes = [str(code) for code in WarningCode]
    assert codes == [row[0].strip("`") for row in read_table(PAGE, "| warning | means |")]
    warning = SCHEMA["properties"]["warnings"]["items"]
    assert codes == warning["properties"]["code"]["enum"]


def test_every_option_has_its_row() -> None:
    """The table lists the settings that a check reads and that have an option."""
    options = {name: option for option, name in OPTION_SETTINGS.items() if name in FILE_SETTINGS}
    rows = read_table(PAGE, "| option | instead of |")
    assert {name: f"`--{option}`" for name, option in options.items()} == {
        row[1].strip("`"): row[0] for row in rows
    }
    assert {"LOCKGATE_ALEMBIC_PLUGINS"} == FILE_SETTINGS - options.keys()


@pytest.mark.parametrize(
    ("block", "message"),
    [
        pytest.param(block, message, id=f"{page}:{block.line}")
        for page in PAGES
        for block, message in find_pairs(page, "refused")
    ],
)
def test_file_that_a_page_calls_refused_is_refused(
    block: Block, message: Block, tmp_path: Path
) -> None:
    """Each refused example of all pages is refused by a check, with its message."""
    write_folder(tmp_path / "migrations", {block.words[1]: block.text})
    (problem,) = json.loads(check(tmp_path, "--json"))["problems"]
    assert to_one_line(message.text).startswith(problem["message"])
