"""Examine a folder with the functions that a run uses to read, plan and refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.check.result import (
    CheckedMigration,
    CheckResult,
    Problem,
    Segments,
    WarningCode,
    describe_problem,
)
from lockgate.core.down_script import DownFlaw, is_empty_up
from lockgate.core.empty_down import begins_with_statement
from lockgate.core.history import EMPTY_HISTORY
from lockgate.core.migration import Language
from lockgate.core.plan import make_plan
from lockgate.core.policy import Policy
from lockgate.core.refusal import find_refusal
from lockgate.core.segment import make_segments
from lockgate.core.try_each import try_each
from lockgate.errors import LockgateError, MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.registry import choose_format, read_migrations
from lockgate.postgres.apply.alembic_operations import check_operations, import_plugins
from lockgate.report.entry import segment_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration, Obstacle, Script
    from lockgate.core.plan import Plan
    from lockgate.core.policy import Atomicity

# The text that is checked in place of a variable that is not set here.
_PLACEHOLDER = "unset_variable"


@dataclass(frozen=True, slots=True)
class FolderToCheck:
    """A folder and the settings that decide how a run reads and plans it."""

    folder: Path
    format: str
    atomicity: Atomicity
    variables: Mapping[str, str]
    alembic_plugins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """How far reading and planning came: what was read, the plan or why there is none."""

    catalog: Catalog | None = None
    plan: Plan | None = None
    lacking: tuple[Problem, ...] = ()
    errors: tuple[LockgateError, ...] = ()


def check_folder(asked: FolderToCheck) -> CheckResult:
    """Return what a run on a database without a history would refuse and do, and warnings.

    What the environment lacks here, and may have where a run takes place, is a warning: a variable, or
    the library of a Python script. Never raises a `LockgateError`.
    """
    folder = str(asked.folder)
    try:
        tool = choose_format(asked.format, asked.folder)
    except LockgateError as error:
        return CheckResult(folder, problems=(describe_problem(error),))
    policy = Policy(atomicity=asked.atomicity, is_fresh=True)
    found, unset = _read_and_plan(asked, tool, policy)
    catalog, plan = found.catalog, found.plan
    result = CheckResult(
        folder,
        tool,
        asked.atomicity,
        latest=None if catalog is None or catalog.latest is None else catalog.latest.text,
        migrations=() if catalog is None else tuple(map(_describe, catalog.migrations)),
        problems=tuple(map(describe_problem, found.errors)),
        warnings=(*unset, *found.lacking),
    )
    if catalog is None or plan is None:
        return result
    return replace(
        result,
        segments=Segments() if found.errors else _make_segments(catalog, plan, policy),
        warnings=(*result.warnings, *_warn_of_files(catalog, plan)),
    )


def _read_and_plan(
    asked: FolderToCheck, tool: str, policy: Policy
) -> tuple[_Found, tuple[Problem, ...]]:
    """Read and plan the folder as if each missing variable had a value; warn of those."""
    placeholders: dict[str, str] = {}
    warnings: list[Problem] = []
    while True:
        found = _try(replace(asked, variables={**asked.variables, **placeholders}), tool, policy)
        unset = {
            str(name): error
            for error in found.errors
            if (name := error.fields.get("variable")) is not None and name not in placeholders
        }
        if not unset:
            return found, tuple(warnings)
        placeholders |= dict.fromkeys(unset, _PLACEHOLDER)
        warnings += map(_warn_of_variable, unset.values())


def _warn_of_variable(error: LockgateError) -> Problem:
    found = describe_problem(error, WarningCode.VARIABLE_NOT_SET)
    return replace(found, message=f"{found.message} A run needs it.")


def _try(asked: FolderToCheck, tool: str, policy: Policy) -> _Found:
    try:
        read = read_migrations(tool, asked.folder, asked.variables)
    except MigrationFileInvalid as error:
        return _Found(errors=(error, *error.others))
    catalog, lacking = _set_libraries_aside(read)
    try:
        plan = make_plan(catalog, EMPTY_HISTORY, policy)
        refusal = find_refusal(plan, policy)
        if refusal is not None:
            return _Found(catalog, plan, lacking, (refusal,))
        if not lacking:
            _check_operations(plan, asked.alembic_plugins)
    except MigrationFileInvalid as error:
        return _Found(catalog, None, lacking, (error, *error.others))
    return _Found(catalog, plan, lacking)


def _set_libraries_aside(catalog: Catalog) -> tuple[Catalog, tuple[Problem, ...]]:
    """Return the catalog without the obstacle of a library that is missing here, and warn of it."""
    found = [(m, m.up.obstacle) for m in catalog.migrations if m.up.obstacle is not None]
    lacking = [(m, obstacle) for m, obstacle in found if obstacle.library is not None]
    changed = {
        m.migration_id: replace(m, up=replace(m.up, obstacle=None), down=_without_library(m.down))
        for m, _ in lacking
    }
    first: dict[str | None, tuple[str, Obstacle]] = {}
    for migration, obstacle in lacking:
        first.setdefault(obstacle.library, (migration.path, obstacle))
    return catalog.with_changed(changed), tuple(
        Problem(
            WarningCode.LIBRARY_NOT_INSTALLED,
            f"{path}:{obstacle.line}: the script {obstacle.why}. So it was not checked whether the"
            " operations exist that the scripts call.",
            obstacle.hint,
            path,
            obstacle.line,
        )
        for path, obstacle in first.values()
    )


def _without_library(down: Script | None) -> Script | None:
    is_lacking = (
        down is not None and down.obstacle is not None and down.obstacle.library is not None
    )
    return replace(down, obstacle=None) if down is not None and is_lacking else down


def _check_operations(plan: Plan, plugins: Iterable[str]) -> None:
    """Refuse revisions that call an operation which neither Alembic nor a plugin has.

    Raises:
        MigrationFileInvalid: a revision does, or a plugin cannot be imported.
    """
    scripts = [step.script for step in plan.steps if step.script.language is Language.PYTHON]
    if scripts:
        import_plugins(plugins)
        try_each(scripts, lambda script: check_operations([script]))


def _make_segments(catalog: Catalog, plan: Plan, policy: Policy) -> Segments:
    used = make_segments(list(plan.steps), replace(policy, is_fresh=False), catalog.session)
    return Segments(tuple(map(segment_entry, plan.segments)), tuple(map(segment_entry, used)))


def _warn_of_files(catalog: Catalog, plan: Plan) -> Iterable[Problem]:
    """Yield the warnings about files, in the order of the migrations."""
    flaws = {flaw.migration.migration_id: flaw for flaw in plan.flaws}
    for migration in catalog.migrations:
        if _is_empty(migration.up):
            yield _warn_of_empty(migration)
        flaw = flaws.get(migration.migration_id)
        if flaw is not None:
            yield _warn_of_down(flaw)


def _is_empty(up: Script) -> bool:
    return not begins_with_statement(up) and is_empty_up(up)


def _warn_of_empty(migration: Migration) -> Problem:
    up = migration.up
    return Problem(
        WarningCode.EMPTY_MIGRATION,
        f"{up.path}: the migration has no statement. A run would record it as applied.",
        "Write its statements before you deploy it, or remove the file.",
        up.path,
        up.first_line,
    )


def _warn_of_down(flaw: DownFlaw) -> Problem:
    message = f"Migration {flaw.migration.label} cannot be undone: {flaw.why}."
    if flaw.error is not None:
        code = WarningCode.UNUSABLE_DOWN
        return replace(describe_problem(flaw.error, code), message=message)
    down = flaw.migration.empty_down
    assert down is not None
    hint = "Write the down script, or remove it."
    if down.language is Language.SQL:
        hint = "Write the down script, or SELECT 1; if there is nothing to undo, or remove it."
    return Problem(WarningCode.EMPTY_DOWN, message, hint, down.path, down.first_line)


def _describe(migration: Migration) -> CheckedMigration:
    version = None if migration.version is None else migration.version.text
    return CheckedMigration(version, migration.name, migration.kind, migration.path)
