"""Operations that plugins add to Alembic: missing ones are found early, a setting imports plugins."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.project import Project

PLUGIN = """from alembic.operations import MigrateOperation, Operations


@Operations.register_operation("{name}")
class Made(MigrateOperation):
    @classmethod
    def {name}(cls, operations):
        return operations.invoke(cls())


@Operations.implementation_for(Made)
def make(operations, operation):
    operations.execute("CREATE TABLE made_by_plugin ()")
"""
FIRST = (
    'from alembic import op\nrevision = "a"\ndown_revision = None\n\n\n'
    'def upgrade():\n    op.execute("CREATE TABLE made_first ()")\n'
)
SECOND = (
    '{imports}from alembic import op\nrevision = "b"\ndown_revision = "a"\n\n\n'
    "def upgrade():\n    op.{name}()\n\n\ndef downgrade():\n    op.nobody_has_this()\n"
)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the name of a module that adds an operation of the same name, not yet imported."""
    name = f"op_{tmp_path.name.lower()}"
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / f"{name}.py").write_text(PLUGIN.format(name=name))
    monkeypatch.syspath_prepend(str(folder))
    assert name not in sys.modules
    return name


@pytest.fixture
def revisions(project: Project, plugin: str) -> Project:
    """Give a project whose second revision calls the plugin's operation."""
    project.write({"a.py": FIRST, "b.py": SECOND.format(imports="", name=plugin)})
    project.settings["LOCKGATE_FORMAT"] = "alembic"
    return project


@pytest.mark.parametrize("action", [Action.PLAN, Action.VALIDATE, Action.UP])
def test_unknown_operation_is_found_before_anything_runs(
    revisions: Project, plugin: str, action: Action
) -> None:
    """An unknown operation is reported with file, line and setting before the first revision runs."""
    error = revisions.run(action).error
    assert error is not None
    assert f"b.py:7: the revision calls op.{plugin}, which Alembic does not" in error.message
    assert "LOCKGATE_ALEMBIC_PLUGINS=MODULE" in (error.hint or "")
    assert [] == revisions.database.run("SELECT FROM pg_class WHERE relname = 'made_first'")


def test_plugin_that_the_setting_names_is_imported(revisions: Project, plugin: str) -> None:
    """The setting imports a plugin, and its operation works."""
    report = revisions.run(LOCKGATE_ALEMBIC_PLUGINS=plugin)
    assert (Status.APPLIED, None) == (report.status, report.error)
    assert [[]] == revisions.database.run("SELECT FROM pg_class WHERE relname = 'made_by_plugin'")


def test_plugin_that_a_revision_imports_is_enough(revisions: Project, plugin: str) -> None:
    """A plugin that a revision imports needs no setting."""
    revisions.write({"b.py": SECOND.format(imports=f"import {plugin}\n", name=plugin)})
    assert Status.APPLIED == revisions.run().status


def test_missing_plugin_is_named(revisions: Project) -> None:
    """A plugin that is not installed is named, with the command that installs it."""
    error = revisions.run(LOCKGATE_ALEMBIC_PLUGINS="not_there_at_all").error
    assert error is not None
    assert "Module not_there_at_all in LOCKGATE_ALEMBIC_PLUGINS cannot be" in error.message
    assert (error.hint or "").startswith("Install it: pip install not-there-at-all.")
