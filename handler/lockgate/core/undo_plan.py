"""Decide what to undo and how, from the history and the scripts stored in it.

If one of the migrations cannot be undone, none is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.address import make_repair_command
from lockgate.core.analysis import analyse_script
from lockgate.core.checksum import text_checksum
from lockgate.core.down_script import describe_unusable, find_down_problem, is_empty_down
from lockgate.core.hint import Hint
from lockgate.core.history import Applied, History, State, StoredScripts
from lockgate.core.migration import NO_OPTIONS, Direction, Kind, Language, Migration, Script
from lockgate.core.plan import find_version
from lockgate.core.policy import Atomicity
from lockgate.core.request import Repair
from lockgate.core.resumption import has_edited_part, would_begin_again
from lockgate.core.segment import Cause, Segment, Step, make_segments
from lockgate.errors import MigrationFileInvalid, RequestInvalid, UndoRefused
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Version
    from lockgate.core.policy import Policy

    # Substitutes a script's variables: takes text and path, returns the text and the values to hide.
    Substitute = Callable[[str, str], tuple[str, tuple[str, ...]]]

# The target of a down that undoes everything.
NOTHING = "0"

# The native format's substitution, which can be repeated on a stored text.
_ENV_SWITCH = "migrate:env"
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Missing:
    """A migration that cannot be undone, and why. ``version`` is ``None`` for a repeatable one."""

    label: str
    version: Version | None
    why: str


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """What would be undone, and what cannot be."""

    segments: tuple[Segment, ...]
    missing: tuple[Missing, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step in order."""
        return tuple(step for segment in self.segments for step in segment.steps)

    @property
    def restored(self) -> dict[str, str]:
        """The checksums of former texts that repeatable migrations get back, by id."""
        return {
            step.migration.migration_id: step.script.checksum
            for step in self.steps
            if step.cause is Cause.RESTORED
        }


def select_last(history: History, count: int) -> tuple[Applied, ...]:
    """Return the versioned migrations that were applied last, the last one first."""
    return _order_for_undo(row for row in history.rows if row.kind is Kind.VERSIONED)[:count]


def select_above(history: History, target: Version | None) -> tuple[Applied, ...]:
    """Return the versioned migrations above a version, the last applied first; all for ``None``."""
    return _order_for_undo(
        row
        for row in history.rows
        if row.version is not None and (target is None or row.version > target)
    )


def select_of_run(history: History, run_id: str) -> tuple[Applied, ...]:
    """Return what one run applied, the last first; repeatable migrations included."""
    return _order_for_undo(row for row in history.rows if row.run_id == run_id)


def select_ids(history: History, ids: frozenset[str] | set[str]) -> tuple[Applied, ...]:
    """Return the rows of these migrations, the last applied first."""
    return _order_for_undo(row for row in history.rows if row.migration_id in ids)


def _order_for_undo(rows: Iterable[Applied]) -> tuple[Applied, ...]:
    """Sort rows in reverse order of application; rows of the same instant by version."""
    return tuple(sorted(rows, key=_applied_key, reverse=True))


def _applied_key(row: Applied) -> tuple[int, float, tuple[int, ...]]:
    key = () if row.version is None else row.version.key
    return row.token, row.applied_at.timestamp(), key


def find_down_target(catalog: Catalog, history: History, text: str) -> Version | None:
    """Return the version to stop at; ``None``: undo everything.

    Raises:
        RequestInvalid: neither the files nor the history contain the version.
    """
    if text == NOTHING:
        return None
    known = find_version(catalog, text)
    applied = next((r.version for r in history.rows if str(r.version) == text), None)
    if known is None and applied is None:
        raise RequestInvalid(
            f"The target {text} is not a version in {catalog.source} or in the history.",
            hint=f'The latest applied is {history.latest}; "{NOTHING}" undoes everything.',
        )
    return known if known is not None else applied


def make_undo_plan(
    rows: Sequence[Applied],
    scripts: Mapping[str, StoredScripts],
    former: Mapping[str, StoredScripts],
    catalog: Catalog,
    policy: Policy,
    substitute: Substitute,
) -> UndoPlan:
    """Return the steps that undo these rows, in this order.

    ``scripts`` are those stored in the history. ``former`` are those of repeatable migrations from
    before this run: their former text undoes them.
    """
    steps: list[Step] = []
    missing: list[Missing] = []
    for row in rows:
        if row.version is None or row.kind is Kind.REPEATABLE:
            found = _restore(row, former.get(row.migration_id), substitute)
        else:
            found = _undo(row, scripts.get(row.migration_id), catalog, substitute)
        if isinstance(found, Step):
            steps.append(found)
        else:
            missing.append(Missing(row.label, row.version, found))
    return UndoPlan(() if missing else make_segments(steps, _together(policy)), tuple(missing))


def _together(policy: Policy) -> Policy:
    """Return the policy with one transaction for the whole undo, so that all of it happens or none."""
    if policy.atomicity is Atomicity.AUTO:
        return replace(policy, atomicity=Atomicity.RUN)
    return policy


def find_undo_refusal(undo_plan: UndoPlan, *, has_downs: bool) -> UndoRefused | None:
    """Return why nothing can be undone, or ``None``; ``has_downs``: the format has down scripts."""
    if not undo_plan.missing:
        return None
    named = "; ".join(f"{one.label} ({one.why})" for one in undo_plan.missing[:_MOST_NAMED])
    more = len(undo_plan.missing) - _MOST_NAMED
    rest = f"; and {more} more" if more > 0 else ""
    return UndoRefused(
        f"Cannot undo {named}{rest}.",
        hint=Hint(
            "Make the change in a new migration.", _hint_at_down(undo_plan) if has_downs else ""
        ),
    )


def _hint_at_down(undo_plan: UndoPlan) -> Hint:
    """Return how to add a down script; several migrations or a repeatable one have a placeholder."""
    first, *others = undo_plan.missing
    version = "VERSION" if others or first.version is None else str(first.version)
    return Hint(
        " Or add the missing down script to the file, and accept it: ",
        make_repair_command(Repair.ACCEPT, version),
    )


def _undo(
    row: Applied, stored: StoredScripts | None, catalog: Catalog, substitute: Substitute
) -> Step | str:
    if row.state is State.PARTIAL:
        return "it is applied in part; run up to finish it"
    filed = catalog.by_id.get(row.migration_id)
    if stored is None or stored.down is None:
        return (filed and find_down_problem(filed)) or "it has no down script"
    script = _find_script(row, stored, catalog, substitute)
    if script is None:
        return "its down script has variables, and its file is missing or was changed"
    if is_empty_down(script, None if filed is None else filed.up):
        return f"its down script is empty ({script.path}:{script.first_line})"
    return _make_step(row, script)


def _make_step(row: Applied, script: Script) -> Step | str:
    migration = Migration(row.version, row.name, row.kind, script, script)
    cause = Cause.RESUMED if row.state is State.REVERTING else Cause.REVERTED
    try:
        step = Step(migration, analyse_script(script), cause, row, Direction.DOWN)
    except MigrationFileInvalid as error:
        return describe_unusable(error)
    if has_edited_part(step) or would_begin_again(step):
        return "its down script was edited in the part that is done already"
    return step


def _find_script(
    row: Applied, stored: StoredScripts, catalog: Catalog, substitute: Substitute
) -> Script | None:
    """Return the stored script, or the equal one of the file, which has line numbers."""
    assert stored.down is not None
    filed = catalog.by_id.get(row.migration_id)
    checksum = text_checksum(stored.down)
    if filed is not None and filed.down is not None and filed.down.checksum == checksum:
        return filed.down
    path = f"{row.migration_id} (down script in the history)"
    substituted: str | None = None
    hidden: tuple[str, ...] = ()
    if stored.is_substituted:
        if _ENV_SWITCH not in stored.down.lower():
            return None
        substituted, hidden = substitute(stored.down, path)
    return Script(
        text=stored.down,
        path=path,
        first_line=1,
        language=stored.language,
        options=stored.options,
        checksum=checksum,
        substituted=substituted,
        hidden=hidden,
    )


def _restore(row: Applied, former: StoredScripts | None, substitute: Substitute) -> Step | str:
    """Return the step that runs the former text of a repeatable migration."""
    if former is None or former.up is None:
        return "it is repeatable and new, so there is no former text"
    path = f"{row.migration_id} (former text in the history)"
    is_plain = _ENV_SWITCH not in former.up.lower()
    substituted, hidden = (None, ()) if is_plain else substitute(former.up, path)
    script = Script(
        text=former.up,
        path=path,
        first_line=1,
        language=Language.SQL,
        options=NO_OPTIONS,
        checksum=text_checksum(former.up),
        substituted=substituted,
        hidden=hidden,
    )
    migration = Migration(row.version, row.name, Kind.REPEATABLE, script, None)
    try:
        return Step(migration, analyse_script(script), Cause.RESTORED, row)
    except MigrationFileInvalid as error:
        return f"its former text cannot be run: {error.message.removesuffix('.')}"
