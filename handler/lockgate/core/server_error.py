"""Separate a server error into what reports may show, and row data, which only the terminal shows.

``fields`` are those of the protocol's error message: ``C`` SQLSTATE, ``M`` message, ``D`` detail,
``W`` context, ``R`` the routine in the server that raised it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.failure import mask, without_row_data

if TYPE_CHECKING:
    from collections.abc import Mapping

# Their details contain only names of objects: dependencies (2BP01), uses of a column (0A000), and wrong
# names and types (class 42). Constraints (class 23) and values (class 22) quote rows.
_OF_NAMES = ("2BP01", "0A000", "42")
# RAISE in PL/pgSQL, with any SQLSTATE: the author wrote the detail, which may contain anything.
_RAISED = "exec_stmt_raise"
_MOST_LINES = 10
_LONGEST_LINE = 300
# A function with its line, in the server's language. The statement follows in quotation marks and may
# contain row data, so lines with quotation marks do not match.
_FUNCTION = re.compile(
    r"PL/pgSQL[\w .,()\[\]$/-]*[0-9][\w .,()\[\]$/-]*"
    r"|SQL function \"[^\"]*\" (?:statement [0-9]+|during \w+)"
)


def public_detail(fields: Mapping[str, str], hidden: tuple[str, ...]) -> str | None:
    """Return the detail if it contains only names; ``hidden`` are values to mask."""
    if not fields.get("C", "").startswith(_OF_NAMES) or fields.get("R") == _RAISED:
        return None
    return _shorten(fields.get("D", "").splitlines(), hidden)


def public_context(fields: Mapping[str, str], hidden: tuple[str, ...]) -> str | None:
    """Return the functions in which the error occurred, with their lines, the innermost first."""
    lines = fields.get("W", "").splitlines()
    return _shorten([line for line in lines if _FUNCTION.fullmatch(line)], hidden)


def terminal_only(
    fields: Mapping[str, str], hidden: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Return the parts of the server's error that no report contains, each with psql's word for it.

    Only the terminal in which the migration runs shows them.
    """
    said, detail, context = (fields.get(name, "") for name in "MDW")
    kept = (
        ("ERROR", "" if without_row_data(fields.get("C", ""), said) == said else said),
        ("DETAIL", "" if public_detail(fields, ()) == detail else detail),
        ("CONTEXT", "" if public_context(fields, ()) == context else context),
    )
    return tuple((word, mask(text, hidden)) for word, text in kept if text)


def _shorten(lines: list[str], hidden: tuple[str, ...]) -> str | None:
    if not lines:
        return None
    shown = [mask(line[:_LONGEST_LINE], hidden) for line in lines[:_MOST_LINES]]
    if len(lines) > _MOST_LINES:
        shown.append(f"and {len(lines) - _MOST_LINES} more")
    return "\n".join(shown)
