"""Alembic and Lockgate on the same project have equal order, up, half-and-half and down."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.proofs.folder import Trait, make_changes
from tests.support.project import Project

from lockgate.core.request import Action

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeDatabase
    from tests.proofs.conftest import FindPeer, RunPeer
    from tests.support.database import Database

# One branch each, except the last, which follows the merge of the others.
MODULES = 7
# SQLAlchemy cannot send COPY data, and Alembic controls a revision's transaction.
WITHOUT = frozenset({Trait.COPY, Trait.OWN_TRANSACTION})
CHANGES = make_changes(MODULES, without=WITHOUT)
EACH = len(CHANGES) // MODULES
ROOT, MERGE = "root00", "0merge"
LENGTH = len(CHANGES) + 2
INI = """[alembic]
script_location = %(here)s/schema
file_template = %%(rev)s
"""
ENV = """
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine("postgresql+psycopg2://", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        transaction_per_migration=True,
        on_version_apply=lambda step, **_: print("ran", step.up_revision_id),
    )
    with context.begin_transaction():
        context.run_migrations()
"""
ROOT_UP = """
    op.create_table(
        "shop",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("rate", sa.Numeric(5, 2), server_default=sa.text("'5'::numeric"), comment="9 %: a"),
        sa.Column("kind", sa.Enum("a", "b%", name="shop_kind"), nullable=False),
        sa.UniqueConstraint("rate", "kind", name="shop_once"),
    )
    op.create_index("shop_rate", "shop", [sa.text("abs(rate)")], postgresql_where="rate > 1")
    kinds = sa.table("shop", sa.column("rate"), sa.column("kind"))
    op.bulk_insert(kinds, [{"rate": 2, "kind": "a"}, {"rate": 3, "kind": "b%"}])
    found = op.get_bind().execute(sa.text("SELECT count(*) FROM shop WHERE kind = :kind"), {"kind": "a"})
    op.add_column("shop", sa.Column("count", sa.Integer, server_default=str(found.scalar_one())))
    with op.batch_alter_table("shop") as batch:
        batch.alter_column("count", nullable=False)
"""
ROOT_DOWN = """
    op.drop_table("shop")
    op.execute("DROP TYPE shop_kind")
"""
REVISION = '''"""{title}

Revision ID: {revision}
"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa

revision: str = "{revision}"
down_revision: Union[str, Sequence[str], None] = {downs!r}
branch_labels = {labels!r}
depends_on = {depends!r}


def upgrade() -> None:
{up}


def downgrade() -> None:
{down}
'''


class Original:
    """Alembic's program and its project."""

    def __init__(self, program: Path, run: RunPeer, folder: Path) -> None:
        self.program = program
        self._run = run
        self.folder = folder

    def run(self, database: Database, *command: str) -> list[str]:
        """Run one command on a database and return the revisions it ran, in order."""
        printed = self._run(self.program, *command, database=database, cwd=self.folder)
        lines = [line.split() for line in printed.splitlines()]
        return [words[1] for words in lines if words[:1] == ["ran"]]


@pytest.fixture
def original(find_peer: FindPeer, run_peer: RunPeer, tmp_path: Path) -> Original:
    """Return Alembic with the whole project."""
    program = find_peer("alembic")
    python = program.with_name("python")
    if subprocess.run(
        [python, "-c", "import psycopg2"], check=False, capture_output=True
    ).returncode:
        pytest.skip(f"{program} has no psycopg2 beside it")
    folder = tmp_path / "project"
    write_project(folder)
    return Original(program, run_peer, folder)


def write_project(folder: Path) -> None:
    """Write a project with branches that split, depend on each other, and merge."""
    (folder / "schema" / "versions").mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "schema/env.py").write_text(ENV)
    write_revision(folder, ROOT, None, ROOT_UP, ROOT_DOWN)
    for place, change in enumerate(CHANGES):
        module, number = divmod(place, EACH)
        below = find_id(place - 1) if number else MERGE if module == MODULES - 1 else ROOT
        depends = find_id(place - EACH - 1) if module == 1 and number == EACH // 2 else None
        up = write_body(change.up, is_inside=change.in_transaction)
        down = write_body(change.down, is_inside=change.in_transaction)
        label = f"line{module}" if not number and module < MODULES - 1 else None
        write_revision(folder, find_id(place), below, up, down, depends=depends, label=label)
    heads = tuple(find_id(EACH * module - 1) for module in range(MODULES - 1, 0, -1))
    write_revision(folder, MERGE, heads, "    pass", "    pass")


def write_revision(
    folder: Path,
    revision: str,
    downs: str | tuple[str, ...] | None,
    up: str,
    down: str,
    *,
    depends: str | None = None,
    label: str | None = None,
) -> None:
    """Write one revision in the form of Alembic's template."""
    text = REVISION.format(
        title=f"make {revision}",
        revision=revision,
        downs=downs,
        labels=None if label is None else (label,),
        depends=depends,
        up=up,
        down=down,
    )
    (folder / "schema/versions" / f"{revision}.py").write_text(text)


def write_body(statements: tuple[str, ...], *, is_inside: bool) -> str:
    """Return a function body that runs the statements, in an autocommit block if needed."""
    lines = [f"op.execute({statement.replace(':x', chr(92) + ':x')!r})" for statement in statements]
    if is_inside:
        return "\n".join(f"    {line}" for line in lines)
    block = "\n".join(f"        {line}" for line in lines)
    return f"    with op.get_context().autocommit_block():\n{block}"


def find_id(place: int) -> str:
    """Return the revision id of a change; ids sort in a different order than changes."""
    return f"{place * 7919 % 997:03d}{place:03x}"


def make_project(folder: Path, database: Database) -> Project:
    """Return a Lockgate project for that folder."""
    return Project(folder, database, {"LOCKGATE_FORMAT": "alembic"})


def dump(database: Database) -> str:
    """Return the schema without Alembic's own table."""
    database.run("DROP TABLE IF EXISTS alembic_version")
    return database.dump()


def test_up_gives_the_schema_that_alembic_gives_in_its_order(
    original: Original, make_database: MakeDatabase
) -> None:
    """Alembic and Lockgate run the whole project in the same order to the same schema."""
    theirs, ours = make_database(), make_database()
    order = original.run(theirs, "upgrade", "heads")
    report = make_project(original.folder, ours).run(Action.UP)
    assert LENGTH == len(report.applied)
    assert order == [entry.version for entry in report.applied]
    assert dump(theirs) == dump(ours)


def test_several_heads_by_alembic_adopted_and_finished_give_the_same_schema(
    original: Original, make_database: MakeDatabase
) -> None:
    """Two unmerged branches are adopted with all their ancestors, and the rest is applied."""
    theirs, ours = make_database(), make_database()
    original.run(theirs, "upgrade", "heads")
    original.run(ours, "upgrade", find_id(EACH // 2))
    original.run(ours, "upgrade", find_id(EACH * 3 - 1))
    heads = ours.run("SELECT count(*) FROM alembic_version")
    project = make_project(original.folder, ours)
    adopted = project.do(Action.ADOPT, source="alembic", reason="we move")
    count = len(project.history())
    finished = project.run(Action.UP, LOCKGATE_OUT_OF_ORDER="apply")
    left = ours.run("SELECT count(*) FROM alembic_version")
    expected = ("applied", [[2]], [[2]], 1 + EACH // 2 + 1 + EACH, LENGTH - count, dump(theirs))
    assert expected == (adopted.status, heads, left, count, len(finished.applied), dump(ours))


def test_down_gives_the_schema_that_alembic_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Alembic and Lockgate undo the same revisions to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run(theirs, "upgrade", "heads")
    original.run(theirs, "downgrade", MERGE)
    project = make_project(original.folder, ours)
    project.run(Action.UP)
    report = project.do(Action.DOWN, target=MERGE, reason="proof", allow_data_loss=True)
    assert (EACH, dump(theirs)) == (len(report.reverted), dump(ours))


def test_everything_undone_leaves_nothing(original: Original, make_database: MakeDatabase) -> None:
    """After adopting everything Alembic applied, Lockgate undoes it to an empty schema."""
    empty, ours = make_database(), make_database()
    original.run(ours, "upgrade", "heads")
    project = make_project(original.folder, ours)
    project.do(Action.ADOPT, source="alembic", reason="we move")
    project.do(Action.DOWN, target="0", reason="proof", allow_data_loss=True)
    assert dump(empty) == dump(ours)
