"""Makes the two scripts of a changeset: their text, checksum and obstacles."""

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
        MigrationFileInvalid: it has no SQL, or it runs each time.
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
    # Like Liquibase's checksum: without attributes and rollback; for runOnChange also without white
    # space, and with parameters filled in.
    counted = _SPACE.sub("", parameters.fill(sql)) if runs_again else sql
    return replace(script, checksum=text_checksum(counted), obstacle=obstacle)


def make_down(changeset: Changeset, parameters: Parameters) -> Script | None:
    """Return the script of a changeset's own rollback, or ``None`` if it has none."""
    text = "\n".join(changeset.down_lines)
    if not text.strip():
        return None
    if _NO_ROLLBACK.fullmatch(text.strip()):
        # An explicit "not required" is a down script without effect, not an empty one.
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
    """Refuse a changeset without SQL, and one that runs each time."""
    if not "".join(changeset.sql_lines).strip():
        raise unusable_file(
            changeset.path,
            "has a changeset without SQL",
            "Write its SQL below it, or remove it.",
            line=changeset.first_line,
        )
    if changeset.flag("runAlways", default=False):
        raise unusable_file(
            changeset.path,
            "has a changeset that runs each time; Lockgate runs one again only if it changed",
            "Replace runAlways:true by runOnChange:true.",
            line=changeset.first_line,
        )


def _find_obstacle(changeset: Changeset) -> Obstacle | None:
    """Return the obstacle of an attribute or line that Lockgate does not support."""
    line = changeset.first_line
    if changeset.precondition_line is not None:
        return Obstacle(
            "has a precondition, which Lockgate does not check",
            "Write the condition into the SQL (IF NOT EXISTS, or a DO block), and remove the line.",
            changeset.precondition_line,
        )
    if not changeset.flag("failOnError", default=True):
        return Obstacle(
            "may fail and still count as applied, because of failOnError:false",
            "Remove the attribute, and catch the error in a DO block.",
            line,
        )
    runner = changeset.attribute("runWith", r"[\w${}]+")
    if runner is not None:
        return Obstacle(
            f"has runWith:{runner}, but Lockgate runs all SQL itself",
            "Remove runWith, and commands that only psql understands.",
            line,
        )
    return None


def _delimit(text: str, changeset: Changeset, attribute: str) -> tuple[str, Obstacle | None]:
    """Return a text in which semicolons end the statements, or the obstacle of the delimiter."""
    delimiter = changeset.attribute(rf"\b{attribute}", r"\S*")
    try:
        return replace_delimiters(text, read_delimiters(delimiter)), None
    except DelimiterUnusable:
        return text, Obstacle(
            f"has the end delimiter {delimiter}, which is a regular expression",
            "Remove it if semicolons end the statements: Lockgate splits them like PostgreSQL.",
            changeset.first_line,
        )
