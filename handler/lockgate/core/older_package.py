"""Whether a package is an older one of the same stack's. Knows what runs recorded; reads nothing.

That is so if an earlier run recorded exactly the package's migrations before what is ahead was applied.
Anything else may be a branch, or a package that lacks files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.request import Action
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lockgate.core.history import Applied

# What wrote a row without a run of the migration, by the action of the run.
UNRUN = {
    Action.BASELINE.value: "baselined",
    Action.ADOPT.value: "adopted",
    Action.REPAIR.value: "marked",
}


@dataclass(frozen=True, slots=True)
class RecordedRuns:
    """What the run table says. ``actions`` are those of the rows' runs, by run id.

    ``has_run``: an earlier run that is over recorded exactly these migrations.
    """

    has_run: bool
    actions: Mapping[str, str]


def find_objection(ahead: Sequence[Applied], evidence: RecordedRuns) -> str | None:
    """Return why versions that are ahead are not known to be a newer package's, as a sentence."""
    for row in ahead:
        action = evidence.actions.get(row.run_id)
        if action in UNRUN:
            return f"Migration {row.label} was {UNRUN[action]}, not applied by a run."
        if action is None:
            return f"The run that applied migration {row.label} is not on record."
    if evidence.has_run:
        return None
    return (
        "No earlier run recorded exactly the migrations of this package before migration"
        f" {ahead[0].label} was applied, so it may be another branch's, or lack files."
    )
