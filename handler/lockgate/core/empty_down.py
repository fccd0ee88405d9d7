"""Empty down scripts of a catalog: they count as missing, so that none of them is used for an undo."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.migration import Language

if TYPE_CHECKING:
    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration, Script

# Nearly all scripts begin with such a word after comments, so that few have to be split.
_HAS_STATEMENT = re.compile(
    r"(?:\s++|--[^\n\r]*+)*+(?!(?:BEGIN|START|COMMIT|END|ABORT|ROLLBACK|SAVEPOINT|RELEASE)\b)[A-Z]",
    re.IGNORECASE | re.ASCII,
)


def set_empty_downs_aside(catalog: Catalog) -> Catalog:
    """Return the catalog with each empty down script moved to `Migration.empty_down`."""
    changed = {
        m.migration_id: replace(m, down=None, empty_down=m.down)
        for m in catalog.migrations
        if m.down is not None and _has_empty_down(m)
    }
    return catalog.with_changed(changed)


def begins_with_statement(script: Script) -> bool:
    """Return whether SQL has a word after comments that begins a statement; most scripts do."""
    return script.language is Language.SQL and _HAS_STATEMENT.match(script.sql) is not None


def _has_empty_down(migration: Migration) -> bool:
    down = migration.down
    assert down is not None
    if down.language is Language.PYTHON:
        return down.is_empty
    if begins_with_statement(down):
        return False
    from lockgate.core.down_script import is_empty_down  # 8 ms, and few scripts need it

    return is_empty_down(down, migration.up)
