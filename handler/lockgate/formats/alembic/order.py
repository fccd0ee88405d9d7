"""The order in which Alembic upgrades through a graph of revisions. Knows no files and no database.

::

    a ── b ── d ── merge        Alembic walks down from the heads, one line as far as it goes, and
     └── c ────────┘            turns the walk around: a, c, b, d, merge or a, b, d, c, merge,
                                by which parent the merge names first.
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
    """Revisions by id in the order of their files.

    ``depends`` are the dependencies of each, labels resolved; ``needed`` those of them that no
    revision further down its line depends on already.
    """

    revisions: dict[str, Revision]
    depends: dict[str, tuple[str, ...]]
    needed: dict[str, tuple[str, ...]]

    def downs(self, revision: str) -> tuple[str, ...]:
        """Return the revisions that one stands on in its own line."""
        return self.revisions[revision].downs

    def parents(self, revision: str) -> tuple[str, ...]:
        """Return all that must be applied before one."""
        return tuple(dict.fromkeys((*self.downs(revision), *self.depends[revision])))

    def steps_down(self, revision: str) -> tuple[str, ...]:
        """Return the parents by which Alembic walks."""
        return tuple(dict.fromkeys((*self.downs(revision), *self.needed[revision])))

    def heads(self) -> list[str]:
        """Return the revisions that nothing stands on."""
        used = {parent for revision in self.revisions for parent in self.parents(revision)}
        return [revision for revision in self.revisions if revision not in used]


def make_graph(revisions: Iterable[Revision]) -> Graph:
    """Connect revisions.

    Raises:
        MigrationFileInvalid: two have one id or one label, or one stands on a revision that is
            missing.
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
        MigrationFileInvalid: they go in a circle.
    """
    _refuse_circle(graph)
    waiting = set(graph.revisions)
    lines = graph.heads()
    below = [find_ancestors(head, graph.steps_down) for head in lines]
    walked: list[str] = []
    at = 0
    while lines:
        current = lines[at]
        # What another line still has above it waits until that line has come down to it.
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
                # What is below the next one is what was below this one; counting again takes long.
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
            f"stands on the revision {name}, which no file has",
            "Bring the missing file, or correct the name.",
            line=revision.line,
        )
    return name


def _twice(revision: Revision, other: Revision, what: str) -> Exception:
    return unusable_file(
        revision.path,
        f"has {what}, and so has {other.path}",
        "Give one of them another.",
        line=revision.line,
    )


def _refuse_circle(graph: Graph) -> None:
    """Refuse revisions of which some can never be next."""
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
            f"waits for itself: these stand on each other in a circle: {', '.join(stuck)}",
            "Correct a down_revision or a depends_on.",
            line=first.line,
        )
