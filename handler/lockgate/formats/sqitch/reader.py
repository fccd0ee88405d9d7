"""Reads a Sqitch project: a plan, and a deploy and a revert script for each change.

Migrations run in the order of the plan. A migration's id is the change's name; the second change of a
name, its rework, is ``NAME#2``. So ids stay the same when the plan grows.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lockgate.core.catalog import Catalog, make_listed_catalog
from lockgate.core.migration import Kind, Migration, Version
from lockgate.core.try_each import try_each
from lockgate.formats.shared.folder import has_file, no_migrations, read_text, require_folder
from lockgate.formats.shared.psql import read_psql_script
from lockgate.formats.shared.scripts import unusable_file, with_stub
from lockgate.formats.sqitch.config import Layout, read_layout
from lockgate.formats.sqitch.plan import Change, Plan, read_plan
from lockgate.formats.tool import ForeignState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.formats.tool import ForeignHistory, ForeignRow

_TABLE = "sqitch.changes"
_TABLE_SQL = """
CREATE SCHEMA IF NOT EXISTS sqitch;
CREATE TABLE IF NOT EXISTS sqitch.projects (
    project text PRIMARY KEY,
    uri text UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    creator_name text NOT NULL,
    creator_email text NOT NULL
);
CREATE TABLE IF NOT EXISTS sqitch.changes (
    change_id text PRIMARY KEY,
    script_hash text,
    change text NOT NULL,
    project text NOT NULL REFERENCES sqitch.projects (project) ON UPDATE CASCADE,
    note text NOT NULL DEFAULT '',
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    committer_name text NOT NULL,
    committer_email text NOT NULL,
    planned_at timestamptz NOT NULL,
    planner_name text NOT NULL,
    planner_email text NOT NULL,
    UNIQUE (project, script_hash)
)
"""


def recognise(folder: Path) -> str | None:
    """Return the file that only a Sqitch project has."""
    for name in ("sqitch.plan", "sqitch.conf"):
        if has_file(folder, name):
            return f"it has {name}"
    return None


def read_folder(folder: Path, _variables: Mapping[str, str]) -> Catalog:
    """Read a project: the folder that has ``sqitch.conf`` or ``sqitch.plan``.

    Raises:
        MigrationFileInvalid: the folder or its plan is missing, the plan or the configuration is
            wrong, or a deploy script is missing.
    """
    require_folder(folder)
    layout = read_layout(folder)
    plan = _read_plan(folder, layout)
    if not plan.changes:
        raise no_migrations(folder)
    migrations = try_each(plan.changes, partial(_read_change, folder, layout))
    return with_stub(make_listed_catalog(migrations, str(folder)), _TABLE, _TABLE_SQL)


def complete_history(folder: Path, history: ForeignHistory) -> ForeignHistory:
    """Return the rows of Sqitch's registry with the ids of the plan, without those of other projects.

    Rows have Sqitch's own ids: the digest of a line in the plan and of all lines above it.

    Raises:
        MigrationFileInvalid: the plan cannot be read.
    """
    plan = _read_plan(folder, read_layout(folder))
    by_id = {change.change_id: change for change in plan.changes}
    rows = tuple(
        _complete_row(row, by_id.get(row.version), plan)
        for row in history.rows
        if row.group in {None, plan.project}
    )
    return replace(history, rows=rows)


def _complete_row(row: ForeignRow, change: Change | None, plan: Plan) -> ForeignRow:
    if change is not None:
        return replace(row, version=_version_of(change), name="")
    return replace(
        row,
        version=row.name,
        name="",
        state=ForeignState.UNKNOWN,
        detail=(
            f"Sqitch deployed {row.name} as {row.version}, which the plan of {plan.project} does not"
            " have: its line, or one above it, was edited afterwards. Use the plan that was"
            " deployed."
        ),
    )


def _read_plan(folder: Path, layout: Layout) -> Plan:
    if not has_file(folder, layout.plan):
        raise unusable_file(
            layout.plan,
            f"is missing in {folder}",
            "Set LOCKGATE_MIGRATIONS (or --dir) to the project's folder, which has sqitch.conf.",
        )
    return read_plan(read_text(folder, layout.plan), layout.plan)


def _version_of(change: Change) -> str:
    return change.name if change.number == 1 else f"{change.name}#{change.number}"


def _read_change(folder: Path, layout: Layout, change: Change) -> Migration:
    deploy, revert = layout.deploy, layout.revert
    if change.rework_tags:
        deploy, revert = layout.reworked_deploy, layout.reworked_revert
    name = _file_name(folder, deploy, change, layout)
    path = posixpath.normpath(posixpath.join(deploy, name))
    if not has_file(folder, path):
        raise unusable_file(
            layout.plan,
            f"has the change {_version_of(change)}, whose script {path} is missing",
            "Restore the script, or remove the change from the plan.",
            line=change.line,
        )
    down = posixpath.normpath(posixpath.join(revert, name))
    has_down = has_file(folder, down)
    return Migration(
        Version((), _version_of(change)),
        "",
        Kind.VERSIONED,
        read_psql_script(folder, path, "sqitch"),
        read_psql_script(folder, down, "sqitch") if has_down else None,
    )


def _file_name(folder: Path, deploy: str, change: Change, layout: Layout) -> str:
    """Return the name of a change's scripts; for a reworked change it contains one of its tags."""
    if ".." in change.name.split("/"):
        raise unusable_file(
            layout.plan, f"has the change {change.name}", "Rename it.", line=change.line
        )
    if not change.rework_tags:
        return f"{change.name}.{layout.extension}"
    names = [f"{change.name}@{tag}.{layout.extension}" for tag in change.rework_tags]
    return next((name for name in names if has_file(folder, f"{deploy}/{name}")), names[0])
