"""Sorts a graph of revisions in the order in which Alembic upgrades.

::

    a ── b ── d ── merge        Alembic walks down from the heads, each line to its end, and reverses
     └── c ────────┘            the walk: a, c, b, d, merge or a, b, d, c, merge, depending on the
                                parent that the merge names first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.scripts import unusable_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lockgate.formats.alembic.revision import Revision

    Parents = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Graph:
    """Revisions by id, in the order of their files.

    ``depends`` are the dependencies of each, with labels resolved; ``needed`` are those that no
    revision further down the same line already depends on.
    """

    revisions: dict[str, Revision]
    depends: dict[str, tuple[str, ...]]
    needed: dict[str, tuple[str, ...]]

    def downs(self, revision: str) -> tuple[str, ...]:
        """Return the revisions that one directly builds on."""
        return self.revisions[revision].downs

    def parents(self, revision: str) -> tuple[str, ...]:
        """Return all that must be applied before one."""
        return tuple(dict.fromkeys((*self.downs(revision), *self.depends[revision])))

    def steps_down(self, revision: str) -> tuple[str, ...]:
        """Return the parents that Alembic's walk follows."""
        return tuple(dict.fromkeys((*self.downs(revision), *self.needed[revision])))

    def heads(self) -> list[str]:
        """Return the revisions that no other builds on."""
        used = {parent for revision in self.revisions for parent in self.parents(revision)}
        return [revision for revision in self.revisions if revision not in used]


def make_graph(revisions: Iterable[Revision]) -> Graph:
    """Connect revisions.

    Raises:
        MigrationFileInvalid: two have the same id or label, or one builds on a missing revision.
    """
    by_id: dict[str, Revision] = {}
    for revision in revisions:
        other = by_id.setdefault(revision.revision, revision)
        if other is not revision:
            raise _twice(revision, other, f"revision {revision.revision}")
    labels = _read_labels(by_id)
    for revision in by_id.values():
        for name in revision.downs:
            _require(revision, name, by_id)
    depends = {
        one.revision: tuple(labels.get(name) or _require(one, name, by_id) for name in one.depends)
        for one in by_id.values()
    }
    graph = Graph(by_id, depends, {})
    needed = {revision: _find_needed(graph, revision) for revision in by_id}
    return Graph(by_id, depends, needed)


def sort_revisions(graph: Graph) -> list[str]:
    """Return all revisions in the order of ``alembic upgrade heads`` on an empty database.

    Raises:
        MigrationFileInvalid: they form a circle.
    """
    _refuse_circle(graph)
    waiting = set(graph.revisions)
    lines = graph.heads()
    below = [find_ancestors(head, graph.steps_down) for head in lines]
    walked: list[str] = []
    at = 0
    while lines:
        current = lines[at]
        # A revision that another line still leads to waits until that line has reached it.
        other = next((i for i, found in enumerate(below) if i != at and current in found), None)
        if other is not None:
            at = other
            continue
        if current in waiting:
            walked.append(current)
            waiting.remove(current)
        following = [r for r in graph.steps_down(current) if r in waiting and r not in lines]
        if following:
            lines[at] = following[0]
            if len(graph.steps_down(current)) == 1:
                # The next one's ancestors are this one's; computing them again would be slow.
                below[at].discard(current)
            else:
                below[at] = find_ancestors(following[0], graph.steps_down)
            lines += following[1:]
            below += [find_ancestors(one, graph.steps_down) for one in following[1:]]
        else:
            del lines[at], below[at]
            at = max(at - 1, 0)
    return walked[::-1]


def find_ancestors(revision: str, parents: Parents) -> set[str]:
    """Return a revision and all below it."""
    found = {revision}
    todo = [revision]
    while todo:
        for parent in parents(todo.pop()):
            if parent not in found:
                found.add(parent)
                todo.append(parent)
    return found


def _find_needed(graph: Graph, revision: str) -> tuple[str, ...]:
    depends = graph.depends[revision]
    if not depends:
        return ()
    line = find_ancestors(revision, graph.downs) - {revision}
    known = {name for one in line for name in graph.depends[one]}
    return tuple(name for name in dict.fromkeys(depends) if name not in known)


def _read_labels(by_id: dict[str, Revision]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for revision in by_id.values():
        for label in revision.labels:
            other = labels.setdefault(label, revision.revision)
            if other != revision.revision or label in by_id:
                raise _twice(revision, by_id[other], f"branch label {label}")
    return labels


def _require(revision: Revision, name: str, by_id: dict[str, Revision]) -> str:
    if name not in by_id:
        raise unusable_file(
            revision.path,
            f"builds on the revision {name}, which no file defines",
            "Restore the missing file, or correct the name.",
            line=revision.line,
        )
    return name


def _twice(revision: Revision, other: Revision, what: str) -> Exception:
    return unusable_file(
        revision.path,
        f"has {what}, and so has {other.path}",
        "Rename one of them.",
        line=revision.line,
    )


def _refuse_circle(graph: Graph) -> None:
    """Refuse revisions that form a circle."""
    missing = {revision: len(graph.parents(revision)) for revision in graph.revisions}
    above: dict[str, list[str]] = {revision: [] for revision in graph.revisions}
    for revision in graph.revisions:
        for parent in graph.parents(revision):
            above[parent].append(revision)
    ready = [revision for revision, count in missing.items() if count == 0]
    while ready:
        for child in above[ready.pop()]:
            missing[child] -= 1
            if missing[child] == 0:
                ready.append(child)
    stuck = [revision for revision, count in missing.items() if count > 0]
    if stuck:
        first = graph.revisions[stuck[0]]
        raise unusable_file(
            first.path,
            f"is part of a circle of revisions: {', '.join(stuck)}",
            "Correct a down_revision or a depends_on.",
            line=first.line,
        )
