"""Down scripts with nothing in them, taken out of a catalog: none of them is a way back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.migration import Language

if TYPE_CHECKING:
    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration

# Nearly all scripts begin with such a word behind comments, so that few have to be split.
_HAS_STATEMENT = re.compile(
    r"(?:\s++|--[^\n\r]*+)*+(?!(?:BEGIN|START|COMMIT|END|ABORT|ROLLBACK|SAVEPOINT|RELEASE)\b)[A-Z]",
    re.IGNORECASE | re.ASCII,
)


def with_usable_downs(catalog: Catalog) -> Catalog:
    """Return the catalog with each empty down script moved to `Migration.empty_down`."""
    changed = {
        m.migration_id: replace(m, down=None, empty_down=m.down)
        for m in catalog.migrations
        if m.down is not None and _is_empty(m)
    }
    if not changed:
        return catalog
    return replace(
        catalog,
        migrations=tuple(changed.get(m.migration_id, m) for m in catalog.migrations),
        by_id={i: changed.get(i, m) for i, m in catalog.by_id.items()},
        by_version={v: changed.get(m.migration_id, m) for v, m in catalog.by_version.items()},
    )


def _is_empty(migration: Migration) -> bool:
    down = migration.down
    assert down is not None
    if down.language is Language.PYTHON:
        return down.is_empty
    if _HAS_STATEMENT.match(down.sql) is not None:
        return False
    from lockgate.core.down_script import is_empty_down  # for few scripts

    return is_empty_down(down, migration.up)
