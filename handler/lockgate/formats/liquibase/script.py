"""A changeset to its two scripts: what the server gets, what is summed up, and what stands in the way.

Knows attributes that change the text or forbid a run. Knows no other changeset.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Obstacle, Script
from lockgate.formats.liquibase.text import (
    DelimiterUnusable,
    read_delimiters,
    replace_delimiters,
    strip_body_comments,
)
from lockgate.formats.shared.scripts import make_script, unusable_file

if TYPE_CHECKING:
    from lockgate.formats.liquibase.file import Changeset
    from lockgate.formats.liquibase.parameters import Parameters

_SPACE = re.compile(r"[ \n\r\t]+")
_NO_ROLLBACK = re.compile(r"(?:not required|empty)[^\n]*", re.IGNORECASE)


def make_up(changeset: Changeset, parameters: Parameters, *, runs_again: bool) -> Script:
    """Return the script that applies a changeset.

    Raises:
        MigrationFileInvalid: it has no SQL, or runs each time.
    """
    _refuse_unknowable(changeset)
    text = "\n".join(changeset.lines)
    sql = "\n".join(changeset.sql_lines)
    filled = parameters.fill_script(text, changeset.first_line)
    sent = filled.text
    if changeset.flag("stripComments", default=True):
        sent = strip_body_comments(sent)
    obstacle = _find_obstacle(changeset) or filled.obstacle
    if changeset.flag("splitStatements", default=True):
        sent, unusable = _delimit(sent, changeset, "endDelimiter")
        obstacle = obstacle or unusable
    script = make_script(
        text,
        changeset.path,
        first_line=changeset.first_line,
        transaction=_transaction_of(changeset),
        substituted=None if sent == text else sent,
        hidden=filled.hidden,
    )
    # What Liquibase sums up: not the attributes, not the rollback; nor the layout, nor the parameters
    # as they are written, where an edit makes it run again.
    counted = _SPACE.sub("", parameters.fill(sql)) if runs_again else sql
    return replace(script, checksum=text_checksum(counted), obstacle=obstacle)


def make_down(changeset: Changeset, parameters: Parameters) -> Script | None:
    """Return the script that a changeset's own rollback is, or ``None`` if it has none."""
    text = "\n".join(changeset.down_lines)
    if not text.strip():
        return None
    if _NO_ROLLBACK.fullmatch(text.strip()):
        # What Liquibase is told on purpose is a down script that does nothing, not an empty one.
        text = "SELECT 1; -- nothing to undo"
    filled = parameters.fill_script(text, changeset.down_line)
    plain, sent, obstacle = text, filled.text, filled.obstacle
    if changeset.flag("rollbackSplitStatements", default=True):
        plain, _ = _delimit(plain, changeset, "rollbackEndDelimiter")
        sent, unusable = _delimit(sent, changeset, "rollbackEndDelimiter")
        obstacle = obstacle or unusable
    script = make_script(
        plain,
        changeset.path,
        first_line=changeset.down_line,
        transaction=_transaction_of(changeset),
        substituted=None if sent == plain else sent,
        hidden=filled.hidden,
    )
    return replace(script, obstacle=obstacle)


def _transaction_of(changeset: Changeset) -> bool | None:
    return None if changeset.flag("runInTransaction", default=True) else False


def _refuse_unknowable(changeset: Changeset) -> None:
    """Refuse what Liquibase refuses, and what it runs each time, whatever ran before."""
    if not "".join(changeset.sql_lines).strip():
        raise unusable_file(
            changeset.path,
            "has a changeset without SQL",
            "Write its SQL below it, or take it out.",
            line=changeset.first_line,
        )
    if changeset.flag("runAlways", default=False):
        raise unusable_file(
            changeset.path,
            "has a changeset that runs each time, and Lockgate runs one when it changes",
            "Write runOnChange:true in place of runAlways:true.",
            line=changeset.first_line,
        )


def _find_obstacle(changeset: Changeset) -> Obstacle | None:
    """Return what makes a run of this changeset another than Liquibase's."""
    line = changeset.first_line
    if changeset.precondition_line is not None:
        return Obstacle(
            "has a precondition, which Lockgate does not check",
            "Write the condition into the SQL (IF NOT EXISTS, or a DO block), and take the line out.",
            changeset.precondition_line,
        )
    if not changeset.flag("failOnError", default=True):
        return Obstacle(
            "may fail and count as done, by failOnError:false",
            "Take the attribute out, and catch the error in a DO block.",
            line,
        )
    runner = changeset.attribute("runWith", r"[\w${}]+")
    if runner is not None:
        return Obstacle(
            f"is to be run by {runner}, and Lockgate runs all SQL itself",
            "Take runWith out; what psql alone understands is no SQL.",
            line,
        )
    return None


def _delimit(text: str, changeset: Changeset, attribute: str) -> tuple[str, Obstacle | None]:
    """Return a text in which semicolons end the statements, or what it is that ends them."""
    delimiter = changeset.attribute(rf"\b{attribute}", r"\S*")
    try:
        return replace_delimiters(text, read_delimiters(delimiter)), None
    except DelimiterUnusable:
        return text, Obstacle(
            f"has the end delimiter {delimiter}, which is a pattern",
            "Take it out if semicolons end the statements: Lockgate splits them as PostgreSQL does.",
            changeset.first_line,
        )
