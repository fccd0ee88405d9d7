"""Read Alembic projects: revisions, their order, and what Lockgate refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from alembic.script.revision import Revision as TheirRevision
from alembic.script.revision import RevisionMap
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.foreign_folder import ForeignFolder
from tests.support.reach import must_reach, reached

from lockgate.core.analysis import analyse_script
from lockgate.core.migration import Direction, Language
from lockgate.core.transaction_mode import Mode
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.alembic.order import make_graph, sort_revisions
from lockgate.formats.alembic.reader import complete_history
from lockgate.formats.alembic.revision import Revision, read_revision
from lockgate.formats.tool import ForeignHistory, ForeignState

if TYPE_CHECKING:
    from pathlib import Path


def write(revision: str, *downs: str, more: str = "", body: str = "pass") -> str:
    """Return the text of a revision file."""
    below: Any = None if not downs else downs[0] if len(downs) == 1 else downs
    return (
        f'"""Make\n{revision}.\n\nRevision ID: {revision}\n"""\nfrom alembic import op\n'
        f"revision = {revision!r}\ndown_revision = {below!r}\n{more}\n\n"
        f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    {body}\n"
    )


def make_revision(
    name: str, downs: tuple[str, ...] = (), depends: tuple[str, ...] = ()
) -> Revision:
    """Return a revision with this name, these parents and these dependencies."""
    return Revision(name, f"{name}.py", 1, "", downs, depends, (), True, frozenset(), None)


@pytest.fixture
def folder(tmp_path: Path) -> ForeignFolder:
    """Give an empty Alembic folder."""
    return ForeignFolder(tmp_path / "project", "alembic")


def test_file_becomes_a_migration(folder: ForeignFolder) -> None:
    """The id is the version, the docstring's first paragraph the name, and the file both scripts."""
    text = write("1975ea83b712")
    migration = folder.read_one({"versions/1975ea83b712_make.py": text})
    assert migration.down is not None
    expected = ("1975ea83b712", "Make 1975ea83b712.", text, Language.PYTHON, text)
    assert expected == (
        migration.migration_id,
        migration.name,
        migration.up.text,
        migration.up.language,
        migration.down.text,
    )


def test_revision_without_a_message_has_no_name(folder: ForeignFolder) -> None:
    """The revision id, which Alembic appends to the message, does not count as a name."""
    assert "" == folder.read_one({"a.py": write("a").replace("Make\na.", "")}).name


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.py": write("a"), "b.py": write("b", "a")}, ["a.py", "b.py"]),
        (
            {"env.py": "import app", "versions/a.py": write("a"), "versions/README": ""},
            ["versions/a.py"],
        ),
        (
            # The script location is relative to the working directory of Alembic, the project root.
            {
                "alembic.ini": "[alembic]\nscript_location = app/store/db\n",
                "env.py": "",
                "versions/a.py": write("a"),
            },
            ["versions/a.py"],
        ),
        (
            {
                "alembic.ini": "[alembic]\nscript_location = app.core:store:db\n",
                "db/env.py": "",
                "db/versions/a.py": write("a"),
                "db/versions/old/z.py": write("z"),
            },
            ["db/versions/a.py"],
        ),
        (
            {
                "alembic.ini": "[alembic]\nscript_location = %(here)s/db\n[loggers]\nkeys=%(x)s\n",
                "db/versions/a.py": write("a"),
                "db/versions/sub/b.py": write("b"),
            },
            ["db/versions/a.py"],
        ),
        (
            {
                "alembic.ini": "[alembic]\nscript_location = my.app:db\n"
                "version_locations = x y/z\nrecursive_version_locations = true\n",
                "my/app/db/env.py": "",
                "x/a.py": write("a"),
                "y/z/sub/b.py": write("b"),
            },
            ["x/a.py", "y/z/sub/b.py"],
        ),
        (
            {
                "pyproject.toml": '[tool.alembic]\nscript_location = "%(here)s/db"\n',
                "db/versions/a.py": write("a"),
            },
            ["db/versions/a.py"],
        ),
    ],
)
def test_revisions_are_found_where_alembic_looks(
    folder: ForeignFolder, files: dict[str, str], expected: list[str]
) -> None:
    """The folder may be the project, the script folder or the folder of revisions."""
    assert expected == sorted(m.path for m in folder.read(files).migrations)


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


def test_script_of_such_a_direction_runs_outside_of_the_runs_transaction(
    folder: ForeignFolder,
) -> None:
    """An upgrade with an autocommit block runs outside the shared transaction, the downgrade in it."""
    text = write("a").replace("pass", "op.get_context().autocommit_block()", 1)
    migration = folder.read_one({"a.py": text})
    assert migration.down is not None
    expected = (Mode.STATEMENTS, Mode.SHARED)
    assert expected == (analyse_script(migration.up).mode, analyse_script(migration.down).mode)


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


def test_dependency_may_be_named_by_a_branch(folder: ForeignFolder) -> None:
    """A dependency on a branch label means the revision with that label."""
    files = {
        "a.py": write("a", more="depends_on = 'other'"),
        "b.py": write("b", more="branch_labels = ('other',)"),
        "c.py": write("c", "b"),
    }
    assert folder.ids(files).index("b") < folder.ids(files).index("a")


def test_long_line_keeps_its_order() -> None:
    """A chain of a thousand revisions is sorted from first to last, in whatever order it was listed."""
    names = [f"{number:04x}" for number in range(1_000)]
    line = [
        make_revision(name, tuple(names[place - 1 : place])) for place, name in enumerate(names)
    ]
    assert names == sort_revisions(make_graph(line[::-1]))


# Refusals.


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"README": ""}, "contains no migrations"),
        ({"a.py": "import os"}, "a.py has no down_revision"),
        ({"x.py": "import os"}, "x.py has no revision"),
        ({"a.py": "revision='a'\ndown_revision=None"}, "a.py has no upgrade()"),
        ({"a.py": write("a-b")}, 'a.py:7 has the revision "a-b"'),
        ({"a.py": write("a").replace("'a'", "make()")}, "a.py:7 computes the names of revisions"),
        ({"a.py": "def"}, "a.py:1 has a Python syntax error"),
        ({"a.py": write("a", "b")}, "a.py:8 builds on the revision b, which no file defines"),
        ({"a.py": write("a"), "b.py": write("a")}, "b.py:8 has revision a, and so has a.py"),
        (
            {"a.py": write("a", "b"), "b.py": write("b", "a")},
            "is part of a circle of revisions: a, b",
        ),
        ({"a.py": write("a"), "sub/b.py": write("b")}, "sub/b.py is a revision in a subfolder"),
        (
            {
                "alembic.ini": "[alembic]\nscript_location = .\n",
                "versions/a.py": write("a"),
                "versions/2024/b.py": write("b", "a"),
            },
            "versions/2024/b.py is a revision in a subfolder",
        ),
        (
            {"alembic.ini": "[alembic]\nscript_location = ../db\n"},
            "has a location of revisions, ../db",
        ),
        ({"alembic.ini": "script_location = db\n"}, "alembic.ini cannot be read"),
    ],
)
def test_folder_is_refused_with_its_reason(
    folder: ForeignFolder, files: dict[str, str], expected: str
) -> None:
    """The message names the file and, where there is one, the line."""
    message = folder.refuse(files)
    assert expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            write("a", more="from alembic import context").replace(
                "pass", "context.get_x_argument()", 1
            ),
            "a.py:12: the script uses values of alembic.context",
        ),
        (write("a").replace("upgrade()", "upgrade(engine)"), "has upgrade with arguments"),
    ],
)
def test_revision_that_needs_env_py_is_an_obstacle(
    folder: ForeignFolder, text: str, expected: str
) -> None:
    """The folder can be read, but running that revision is refused."""
    migration = folder.read_one({"a.py": text})
    with pytest.raises(MigrationFileInvalid) as caught:
        analyse_script(migration.up)
    assert expected in str(caught.value)


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


def test_own_table_stands_in_where_a_revision_names_it(folder: ForeignFolder) -> None:
    """Alembic's table is created if a revision names it."""
    files = {"a.py": write("a", body="op.execute('TABLE alembic_version')")}
    catalog = folder.read(files)
    assert catalog.stub is not None
    assert "version_num varchar(32)" in catalog.stub.sql


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"alembic.ini": ""}, "it has alembic.ini"),
        ({"env.py": "", "versions/a.py": ""}, "it has env.py"),
        ({"a.py": write("a")}, "a.py has a revision and a down_revision"),
        ({"20260101000000_a.py": "def up(connection): ...\n"}, None),
        ({"a.py": "revision = 1\n"}, None),
    ],
)
def test_folder_is_recognised_by_what_only_alembic_has(
    folder: ForeignFolder, files: dict[str, str], expected: str | None
) -> None:
    """Alembic's configuration, env.py, or a file with both variables identifies the folder."""
    assert expected == folder.recognise(files)
