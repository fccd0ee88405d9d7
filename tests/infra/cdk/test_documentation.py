"""The CDK app of the documentation is synthesised as printed."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("aws_cdk", reason="the CDK is not installed here; `make infra` installs it")

import aws_cdk as cdk
from tests.docs.markdown import find_blocks, read_page, read_table
from tests.support.cdk_stack import WITHOUT_BUNDLING, synthesise

from lockgate_cdk import DatabaseMigrations, Endpoint

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/adopt/cdk.md"


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the names that the page's app defines, after running it beside a migrations folder."""
    (block,) = (block for block in find_blocks(PAGE) if block.words == ("app",))
    (tmp_path / "migrations").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cdk, "App", partial(cdk.App, context=WITHOUT_BUNDLING))
    names: dict[str, Any] = {}
    exec(compile(block.text, PAGE, "exec"), names)  # noqa: S102 - our own page
    return names


def test_app_of_the_page_migrates_before_what_depends_on_it(shown: dict[str, Any]) -> None:
    """The function that serves requests is created after the migration."""
    made = synthesise(shown["stack"])
    (api,) = (one for name, one in made.items() if name.startswith("Api") and "Role" not in name)

    assert "Custom::LockgateMigration" == made["Migration"]["Type"]
    assert "Migration" in api["DependsOn"]


def test_page_names_what_there_is(shown: dict[str, Any]) -> None:
    """All arguments, attributes and endpoints on the page exist."""
    rows = read_table(PAGE, "| argument | for |")
    arguments = {word for row in rows for word in re.findall(r"`(\w+)`", row[0])}
    page = read_page(PAGE)
    told = re.findall(
        r"`(\w+)`", page.partition("The docstring has the others.")[2].split("\n\n")[0]
    )

    assert arguments <= set(DatabaseMigrations.__init__.__annotations__)
    assert len(told) > 5
    assert [] == [name for name in told if not hasattr(shown["migrations"], name)]
    assert set(re.findall(r"Endpoint\.(\w+)", page)) <= {endpoint.name for endpoint in Endpoint}
