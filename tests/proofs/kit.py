"""What a tool is to the proofs, and one tool with its project and two databases.

The tools are in `tools`, one module each. `test_tools` proves the same of all of them; what only one
tool has is proved in a file of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.proofs.peers import run_peer
from tests.support.database import Database
from tests.support.folders import write_folder
from tests.support.project import Project

from lockgate.core.request import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.proofs.folder import Change
    from tests.proofs.peers import Peers

    from lockgate.report.report import Report

    Run = Callable[["PeerProject", Database], str]


@dataclass(frozen=True, slots=True)
class PeerProject:
    """A project of another tool. Its commands run in ``folder``."""

    folder: Path
    peers: Peers

    def run(self, program: str, *arguments: str, database: Database, **variables: str) -> str:
        """Run a program in the project; see `run_peer`."""
        found = self.peers.find_program(program)
        return run_peer(found, *arguments, database=database, cwd=self.folder, **variables)


@dataclass(frozen=True, slots=True)
class Half:
    """The part of a project that the tool applies before Lockgate adopts it.

    ``count`` migrations are applied and leave ``rows`` rows. Without ``run``, the tool applies a project
    that has no more changes. ``is_warned``: the adoption warns of what is pending below the latest one.
    """

    count: int
    rows: int
    run: Run | None = None
    is_warned: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Down:
    """The last migrations: how the tool undoes them, and the version after which Lockgate does.

    Without ``target``, Lockgate counts steps.
    """

    count: int
    run: Callable[[PeerProject, Database], object]
    target: str | None = None

    @property
    def request(self) -> dict[str, Any]:
        """The fields of Lockgate's request."""
        return {"steps": self.count} if self.target is None else {"target": self.target}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Another tool: the project that it gets, how to run it, and the history that it leaves.

    * ``name``: Lockgate's format.
    * ``lay_out``: returns the files of a project with some of the changes. Lockgate reads ``folder``.
    * ``extra``: migrations that the layout adds to the changes.
    * ``up``: applies everything pending and returns the tool's output.
    * ``history``: the table with a row for each migration, and ``own`` removes all that the tool keeps.
    * ``check_up``: what else is equal after both have applied everything.
    """

    name: str
    changes: Sequence[Change]
    lay_out: Callable[[Sequence[Change]], Mapping[str, str]]
    up: Run
    own: str
    history: str
    folder: str = "migrations"
    extra: int = 0
    half: Half | None = None
    down: Down | None = None
    make_settings: Callable[[Database], Mapping[str, str]] = lambda _: {}
    check_up: Callable[[Proof, str, Report], None] = lambda *_: None
    dump: Callable[[Database], str] = Database.dump

    @property
    def count(self) -> int:
        """The number of migrations in the whole project."""
        return len(self.changes) + self.extra

    @property
    def first_half(self) -> Half:
        """The part that is adopted, by default a little more than half of the changes."""
        count = len(self.changes) // 2 + 3
        return self.half or Half(count, count)


@dataclass(frozen=True, slots=True)
class Proof:
    """One tool with its project, and a database for the tool and one for Lockgate."""

    tool: Tool
    peers: Peers
    place: Path
    theirs: Database
    ours: Database

    def write(self, name: str = "whole", changes: Sequence[Change] | None = None) -> PeerProject:
        """Write a project with some of the changes, or with all of them."""
        files = self.tool.lay_out(self.tool.changes if changes is None else changes)
        return PeerProject(write_folder(self.place / name, files), self.peers)

    def open(self, project: PeerProject, database: Database | None = None) -> Project:
        """Return Lockgate's project for a folder of the tool, by default with Lockgate's database."""
        at = database or self.ours
        settings = {"LOCKGATE_FORMAT": self.tool.name, **self.tool.make_settings(at)}
        return Project(project.folder / self.tool.folder, at, settings)

    def adopt(self, project: Project, **more: Any) -> Report:
        """Take over the tool's history."""
        return project.do(Action.ADOPT, source=self.tool.name, reason="we move", **more)

    def undo(self, project: Project, **what: Any) -> Report:
        """Undo migrations, also those that drop tables."""
        return project.do(Action.DOWN, reason="proof", allow_data_loss=True, **what)

    def run_half(self, project: PeerProject) -> Half:
        """Let the tool apply its half of a project to Lockgate's database."""
        half = self.tool.first_half
        if half.run is not None:
            half.run(project, self.ours)
        else:
            self.tool.up(self.write("half", self.tool.changes[: half.count]), self.ours)
        return half

    def count_rows(self) -> int:
        """Return the number of migrations in the tool's history on Lockgate's database."""
        ((count,),) = self.ours.run(f"SELECT count(*) FROM {self.tool.history}")
        return int(count)

    def dump(self, database: Database) -> str:
        """Return the schema without the tool's own tables."""
        database.run(self.tool.own)
        return self.tool.dump(database)
