"""The module as users read it: layout, README and examples. No provider is needed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.support.terraform_docs import BEGIN, END, describe_module

from lockgate.settings import SETTINGS

MODULE = Path(__file__).parents[3] / "infra/terraform"
EXAMPLES = sorted(path.name for path in (MODULE / "examples").iterdir())


def test_files_are_formatted(terraform_program: Path) -> None:
    """All files, including examples and tests, are formatted by `terraform fmt`."""
    done = subprocess.run(
        [terraform_program, "fmt", "-check", "-diff", "-recursive", MODULE],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ("", 0) == (done.stdout, done.returncode)


def test_readme_has_the_tables_of_the_source() -> None:
    """The README lists all requirements, resources, inputs and outputs, in order."""
    readme = (MODULE / "README.md").read_text("utf-8")
    shown = readme.partition(BEGIN)[2].partition(END)[0].strip()

    assert describe_module(MODULE) == shown


def test_everything_is_described() -> None:
    """Every input and output has a description."""
    assert [] == re.findall(r"^\| \w+ \|  \|.*$", describe_module(MODULE), re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_linked_and_have_their_own_readme(example: str) -> None:
    """The module's README links to each example, and each example has its own README."""
    readme = (MODULE / "README.md").read_text("utf-8")

    assert f"(examples/{example})" in readme
    assert (MODULE / "examples" / example / "README.md").is_file()


def test_settings_that_are_named_exist() -> None:
    """Every LOCKGATE_ setting in the module exists, since an unknown one would fail each run."""
    known = {setting.name for setting in SETTINGS}
    text = "".join(path.read_text("utf-8") for path in MODULE.rglob("*") if path.is_file())

    assert set() == set(re.findall(r"LOCKGATE_[A-Z_]*[A-Z]\b", text)) - known
