"""Decide whether a package is an older release of the one that migrated the database.

It is, if an earlier run recorded exactly its migrations before those that are ahead were applied.
Otherwise it may be another branch, or lack files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.request import Action
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lockgate.core.history import Applied

# Actions that write a row without running the migration, and the word for it.
UNRUN = {
    Action.BASELINE.value: "baselined",
    Action.ADOPT.value: "adopted",
    Action.REPAIR.value: "marked",
}


@dataclass(frozen=True, slots=True)
class RecordedRuns:
    """What is recorded about runs. ``actions`` are those of the rows' runs, by run id.

    ``has_run``: an earlier, finished run recorded exactly these migrations.
    """

    has_run: bool
    actions: Mapping[str, str]


def find_objection(ahead: Sequence[Applied], evidence: RecordedRuns) -> str | None:
    """Return why versions that are ahead may not be from a newer package, as a sentence."""
    for row in ahead:
        action = evidence.actions.get(row.run_id)
        if action in UNRUN:
            return f"Migration {row.label} was {UNRUN[action]}, not applied by a run."
        if action is None:
            return f"No record exists of the run that applied migration {row.label}."
    if evidence.has_run:
        return None
    return (
        "No earlier run recorded exactly the migrations of this package before migration"
        f" {ahead[0].label} was applied, so it may be from another branch, or lack files."
    )
