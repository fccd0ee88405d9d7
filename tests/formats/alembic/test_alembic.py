"""Read Alembic's revisions without running them, sort them, and explain its heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.script.revision import Revision as TheirRevision
from alembic.script.revision import RevisionMap
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.alembic.cases import write
from tests.support.foreign_folder import ForeignFolder
from tests.support.reach import must_reach, reached

from lockgate.core.analysis import analyse_script
from lockgate.core.migration import Direction
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.alembic.order import make_graph, sort_revisions
from lockgate.formats.alembic.reader import complete_history
from lockgate.formats.alembic.revision import Revision, read_revision
from lockgate.formats.tool import ForeignHistory, ForeignState

if TYPE_CHECKING:
    from pathlib import Path


def make_revision(
    name: str, downs: tuple[str, ...] = (), depends: tuple[str, ...] = ()
) -> Revision:
    """Return a revision with this name, these parents and these dependencies."""
    return Revision(name, f"{name}.py", 1, "", downs, depends, (), True, frozenset(), None)


@pytest.fixture
def folder(tmp_path: Path) -> ForeignFolder:
    """Give an empty Alembic folder."""
    return ForeignFolder(tmp_path / "project", "alembic")


def test_variables_are_read_without_running_the_file() -> None:
    """Annotations, tuples and lists are understood, and the file is never executed."""
    text = (
        "raise SystemExit\nfrom typing import Sequence\nrevision: str = 'c'\n"
        "down_revision: Sequence[str] = ['a', 'b']\nbranch_labels = ('x',)\ndepends_on = 'd'\n"
        "def upgrade() -> None: pass\n"
    )
    expected = Revision("c", "c.py", 4, "", ("a", "b"), ("d",), ("x",), False, frozenset(), None)
    assert expected == read_revision(text, "c.py")


def test_oldest_files_have_their_id_as_their_name() -> None:
    """Without a revision variable, a hexadecimal file name is the revision id."""
    text = "down_revision = None\ndef upgrade(): pass\n"
    assert "1975ea83b712" == read_revision(text, "versions/1975ea83b712.py").revision


def test_downgrade_that_only_raises_is_none() -> None:
    """A downgrade() that only raises NotImplementedError does not count as a down script."""
    body = '"""There is none."""\n    raise NotImplementedError'
    assert not read_revision(write("a", body=body), "a.py").has_down


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [
        ("op.execute('SELECT 1')", "pass", set()),
        ("with op.get_context().autocommit_block(): pass", "pass", {Direction.UP}),
        ("pass", "op.execute(sa.text('commit'))", {Direction.DOWN}),
        ("op.execute('DROP TABLE t; COMMIT')", "pass", {Direction.UP}),
        ("helper()", "helper()", set(Direction)),
        ("op.execute('''DO $$ BEGIN; END $$''')", "op.execute('ROLLBACK TO x')", set()),
    ],
)
def test_direction_that_ends_its_transaction_is_seen(
    up: str, down: str, expected: set[Direction]
) -> None:
    """An autocommit block or a COMMIT takes its direction out of the run's transaction."""
    helper = "def helper(): op.execute('COMMIT')\n" if "helper" in up else ""
    text = (
        f"revision, down_revision = 'a', None\nrevision = 'a'\ndown_revision = None\n{helper}"
        f"def upgrade(): \n    {up}\ndef downgrade(): \n    {down}\n"
    )
    assert frozenset(expected) == read_revision(text, "a.py").ends_transaction


# Order. Each revision has at most one dependency: Alembic keeps them in an unordered set.


def draw_graph(data: st.DataObject) -> list[Revision]:
    """Draw revisions that build on earlier ones, listed in random order."""
    count = data.draw(st.integers(1, 12))
    names = [f"r{number:02d}" for number in range(count)]
    drawn = []
    for place, name in enumerate(names):
        below = st.lists(st.sampled_from(names[:place] or [name]), unique=True, max_size=3)
        downs = tuple(data.draw(below)) if place else ()
        depends = tuple(data.draw(below)[:1]) if place else ()
        drawn.append(make_revision(name, downs, depends))
    return data.draw(st.permutations(drawn))


@must_reach(branch=30, merge=30, dependency=30)
@settings(max_examples=150)
@given(st.data())
def test_order_is_the_one_that_alembic_takes(data: st.DataObject) -> None:
    """For any branches, merges and dependencies, revisions are sorted as `upgrade heads` runs them."""
    revisions = draw_graph(data)
    parents = [down for one in revisions for down in one.downs]
    reached("branch", when=len(parents) > len(set(parents)))
    reached("merge", when=any(len(one.downs) > 1 for one in revisions))
    reached("dependency", when=any(one.depends for one in revisions))
    theirs = RevisionMap(
        lambda: [TheirRevision(r.revision, r.downs or None, r.depends or None) for r in revisions]
    )
    expected = [r.revision for r in theirs.iterate_revisions("heads", "base", implicit_base=True)]
    assert expected[::-1] == sort_revisions(make_graph(revisions))


def test_long_line_keeps_its_order() -> None:
    """A chain of a thousand revisions is sorted from first to last, in whatever order it was listed."""
    names = [f"{number:04x}" for number in range(1_000)]
    line = [
        make_revision(name, tuple(names[place - 1 : place])) for place, name in enumerate(names)
    ]
    assert names == sort_revisions(make_graph(line[::-1]))


def test_missing_library_is_an_obstacle(
    folder: ForeignFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the alembic library, a project can be read but not run."""
    monkeypatch.setattr("lockgate.formats.alembic.reader.find_spec", lambda _name: None)
    migration = folder.read_one({"a.py": write("a")})
    with pytest.raises(MigrationFileInvalid) as caught:
        analyse_script(migration.up)
    assert "needs the alembic library, which is not installed" in str(caught.value)
    assert "pip install 'alembic>=1.13,<2'" in str(caught.value.hint)


# History.


def test_heads_stand_for_all_below_them(folder: ForeignFolder) -> None:
    """Ancestors and dependencies of a head count as applied; a head without a file is unknown."""
    folder.write(
        {
            "a.py": write("a"),
            "b.py": write("b", "a"),
            "c.py": write("c", "a"),
            "d.py": write("d", more="depends_on = 'c'"),
            "e.py": write("e", "d", "b"),
        }
    )
    said = ForeignHistory("public.alembic_version", (), heads=("d", "gone"))
    completed = complete_history(folder.path, said)
    expected = [
        ("a", ForeignState.APPLIED),
        ("c", ForeignState.APPLIED),
        ("d", ForeignState.APPLIED),
        ("gone", ForeignState.UNKNOWN),
    ]
    assert expected == [(row.version, row.state) for row in completed.rows]
