"""The refusal of a first run on a database that already contains tables or another history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.address import make_command
from lockgate.core.hint import Hint
from lockgate.core.request import Action
from lockgate.errors import FirstContact
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_NAMED = 5
_MOST_VERSIONS = 10


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the database; ``name`` is schema and relation, quoted.

    ``is_member``: it, or its parent table, belongs to an extension. ``project``: the schema of the
    Lockgate history that it belongs to.
    """

    oid: int
    schema: str
    relation: str
    name: str
    is_member: bool
    project: str | None


@dataclass(frozen=True, slots=True)
class OtherHistory:
    """Another tool's history table with rows; ``rows`` is ``None`` if they cannot be read."""

    tool: str
    table: str
    rows: int | None

    def describe(self) -> str:
        """Return tool, table and number of rows as a clause."""
        if self.rows is None:
            return f"{self.tool}'s history {self.table}, which this role cannot read"
        return f"{self.tool}'s history {self.table} ({self.rows} {_count(self.rows, 'row')})"


@dataclass(frozen=True, slots=True)
class Contact:
    """What a database contains that no run of this project created.

    ``tables`` are the names of tables of unknown origin; ``projects`` the schemas of other Lockgate
    histories.
    """

    tables: tuple[str, ...] = ()
    histories: tuple[OtherHistory, ...] = ()
    projects: tuple[str, ...] = ()

    @property
    def is_foreign(self) -> bool:
        """True if a first run must be refused."""
        return bool(self.tables or self.histories)

    def describe(self) -> str:
        """Describe the contents in one or two sentences."""
        parts = [history.describe() for history in self.histories]
        if self.tables:
            parts.append(_describe_tables(self.tables, "other " if self.histories else ""))
        text = f"This is the first run on this database, and it holds {', and '.join(parts)}."
        if self.projects:
            schemas = ", ".join(self.projects)
            text += f" Another Lockgate history is in schema {schemas}."
        return text


def _describe_tables(tables: Sequence[str], which: str) -> str:
    noun = _count(len(tables), "table")
    return f"{len(tables)} {which}{noun} ({_shorten(tables, _MOST_NAMED)})"


def _count(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"


def make_refusal(
    contact: Contact, source: str, versions: Sequence[str], how_to_allow: Hint
) -> FirstContact:
    """Return the refusal of a first run.

    ``source`` is the folder, and ``versions`` are those on disk. ``how_to_allow`` says how to allow the
    same request.
    """
    hint = _hint_at_adoption(contact) if contact.histories else _hint_at_baseline(versions)
    if contact.projects:
        hint = Hint(
            hint,
            f"; if these migrations belong to the history in schema {contact.projects[0]}: set"
            f" LOCKGATE_SCHEMA={contact.projects[0]}",
        )
    return FirstContact(
        f"{contact.describe()} All migrations in {source} would be applied, from the first on.",
        hint=Hint(
            hint, "; or, if the tables have nothing to do with these migrations: ", how_to_allow
        ),
    )


def _hint_at_adoption(contact: Contact) -> Hint:
    hint = Hint("Take the history over")
    for history in contact.histories:
        command = make_command(
            Action.ADOPT,
            source=history.tool,
            table=history.table,
            reason=f"take over from {history.tool}",
            dry_run=True,
        )
        hint = Hint(hint, ": " if history is contact.histories[0] else "; or: ", command)
    return hint


def _hint_at_baseline(versions: Sequence[str]) -> Hint:
    if not versions:
        return Hint("Check that this is the right database")
    reason = "the database has these migrations"
    command = make_command(Action.BASELINE, reason=reason, dry_run=True, target="VERSION")
    return Hint(
        "If the database already has the migrations up to some version, record them: ",
        command,
        f" (VERSION is one of {_shorten_middle(versions)})",
    )


def _shorten(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _shorten_middle(versions: Sequence[str]) -> str:
    if len(versions) <= _MOST_VERSIONS:
        return ", ".join(versions)
    half = _MOST_VERSIONS // 2
    return f"{', '.join(versions[:half])}, …, {', '.join(versions[-half:])}"
