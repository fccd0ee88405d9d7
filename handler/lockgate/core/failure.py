"""A failed step as a value: what failed, where, and the server's message without row data."""

from __future__ import annotations

import re
from dataclasses import field

from lockgate.core.address import make_repair_command
from lockgate.core.hint import Hint, join_hints
from lockgate.core.request import Repair
from lockgate.errors import MigrationFailed
from lockgate.fast_start.dataclass import dataclass

# Compiled only when a step fails, because compiling takes longer than importing most modules.
#
# From the first quotation mark to the last, because a value may contain any; the marks depend on the
# server's language.
_QUOTED = '["«»„“”].*["«»„“”]'
_QUOTES_ENCODINGS = frozenset({"22021", "22P05"})
# Mask short values only as whole words, and short parts not at all; otherwise too much of the message
# disappears.
_SHORTEST_PART = 4
_PART = rf'[^\s"«»„“”,.;:]{{{_SHORTEST_PART},}}'
_EXCERPT_WIDTH = 100
# A migration may raise megabytes. Place and state follow the message and must not be cut off.
_LONGEST_WORDS = 2_000
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that held a lock that a statement waited for; ``query`` without its literals."""

    pid: int
    user: str | None
    application: str | None
    state: str | None
    age_seconds: float | None
    query: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step failed. ``statement`` counts from 1 in the script; places count from 1.

    ``has_committed``: the step commits itself or ended its transaction, so its effects may have stayed
    and it must not be retried. ``is_deferred``: a deferred constraint failed after the script;
    ``is_of_all``: at the end of the transaction, so that any of its migrations may have violated it.
    ``is_own``: a statement of Lockgate failed, not one of the migration.
    ``together`` are the migrations of the transaction if the failed one is unknown. ``detail`` and
    ``context`` are lines of the server that contain only names. ``terminal_only`` may contain row data:
    only the terminal in which the migration runs shows it.
    """

    migration: str
    message: str
    sqlstate: str | None = None
    hint: str | None = None
    statement: int | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None
    blockers: tuple[Blocker, ...] = ()
    has_committed: bool = False
    is_deferred: bool = False
    is_of_all: bool = False
    is_own: bool = False
    together: tuple[str, ...] = ()
    detail: str | None = None
    context: str | None = None
    terminal_only: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def describe(self) -> str:
        """Describe the failure in one or two sentences: what, why, where."""
        what = f"Migration {self.migration}"
        if self.together:
            what = f"The transaction of migrations {_name(self.together)}"
        elif self.statement is not None:
            what = f"Statement {self.statement} of migration {self.migration}"
        code = f" ({self.sqlstate})" if self.sqlstate else ""
        place = ":".join(str(p) for p in (self.file, self.line, self.column) if p is not None)
        message = self.message
        if len(message) > _LONGEST_WORDS:
            message = f"{message[:_LONGEST_WORDS]}…"
        when = " when its deferred constraints were checked" if self.is_deferred else ""
        text = f"{what} failed{when}: {message}{code}. {place}".rstrip() + ("." if place else "")
        for label, lines in (("Detail", self.detail), ("In", self.context)):
            if lines is not None:
                text += f" {label}: {'; '.join(lines.splitlines())}."
        if self.blockers:
            text += (
                " It waited for " + " and ".join(_describe_blocker(b) for b in self.blockers) + "."
            )
        return text


def _name(labels: tuple[str, ...]) -> str:
    if len(labels) > _MOST_NAMED:
        return f"{labels[0]} to {labels[-1]} ({len(labels)} migrations)"
    return f"{', '.join(labels[:-1])} and {labels[-1]}"


class StepFailed(Exception):
    """A migration's step failed; its transaction, if it had one, was rolled back."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.describe())
        self.failure = failure


class MigrationStepFailed(MigrationFailed):
    """A failed step as the error that ends a run, with its `Failure`.

    ``note`` and ``hint`` are added to the failure's own: what was tried since, and what to do then.
    """

    def __init__(
        self, failure: Failure, *, is_down: bool, note: str = "", hint: str | None = None
    ) -> None:
        advice = failure.hint or _advise(failure, is_down=is_down)
        text = f"{failure.describe()} {note}".rstrip()
        super().__init__(text, hint=join_hints(advice, hint))
        self.failure = failure
        self.is_down = is_down

    def with_note(self, note: str = "", hint: str | None = None) -> MigrationStepFailed:
        """Return the error of the same failure with another note."""
        return MigrationStepFailed(self.failure, is_down=self.is_down, note=note, hint=hint)


def _advise(failure: Failure, *, is_down: bool) -> str:
    if not is_down:
        return "Fix the file and invoke again."
    version = failure.migration.split(" ")[0]
    accept = make_repair_command(Repair.ACCEPT, version)
    return Hint(
        "The down script in the history failed. Correct it in the file, accept the file: ",
        accept,
        "; then repeat the command.",
    )


class ConnectionLost(Exception):
    """The connection broke. ``sqlstate`` is the last one from the server, if there was one."""

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class OutOfTime(Exception):
    """No more work may start: the deadline has passed, or the run was interrupted.

    ``failure`` is the step that was cancelled because of it, if any.
    """

    def __init__(self, failure: Failure | None = None) -> None:
        super().__init__("out of time")
        self.failure = failure


def _describe_blocker(blocker: Blocker) -> str:
    who = f"pid {blocker.pid}"
    if blocker.user:
        who += f" of {blocker.user}"
    if blocker.application:
        who += f" ({blocker.application})"
    if blocker.state:
        who += f", {blocker.state}"
    if blocker.age_seconds is not None:
        who += f" for {blocker.age_seconds:.0f} s"
    return who


def without_row_data(sqlstate: str, message: str) -> str:
    """Return the server's message without values of rows.

    Class 22 (data exceptions) quotes the invalid value. Everything else quotes names, as do the errors
    about characters that an encoding lacks.
    """
    quotes_values = sqlstate.startswith("22") and sqlstate not in _QUOTES_ENCODINGS
    return re.sub(_QUOTED, '"…"', message, flags=re.DOTALL) if quotes_values else message


def mask(text: str, hidden: tuple[str, ...]) -> str:
    """Return a text with every hidden value, and every word that is part of one, replaced by ``…``.

    The server folds names to lower case, truncates them, and quotes single tokens of invalid SQL. So
    case is ignored, and a part reveals as much as the whole.
    """
    values = sorted(filter(None, hidden), key=len, reverse=True)
    if not values:
        return text
    text = re.sub("|".join(map(_pattern_of, values)), "…", text, flags=re.IGNORECASE)
    folded = [value.casefold() for value in values]

    def hide_part(match: re.Match[str]) -> str:
        part = match[0].casefold()
        return "…" if any(part in value for value in folded) else match[0]

    return re.sub(_PART, hide_part, text)


def _pattern_of(value: str) -> str:
    pattern = re.escape(value)
    return pattern if len(value) >= _SHORTEST_PART else rf"(?<!\w){pattern}(?!\w)"


def make_excerpt(text: str, line: int, column: int) -> str:
    """Return a line of a text with a caret under its column, cut to a window around it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    source = lines[line - 1].replace("\t", " ") if line <= len(lines) else ""
    start = max(0, column - 1 - _EXCERPT_WIDTH // 2) if len(source) > _EXCERPT_WIDTH else 0
    shown = source[start : start + _EXCERPT_WIDTH]
    return f"{shown}\n{' ' * (column - 1 - start)}^"
