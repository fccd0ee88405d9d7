"""Alembic, with branches that split, depend on each other, and merge."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.proofs.folder import Trait, make_changes
from tests.proofs.kit import Down, Half, Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proofs.folder import Change
    from tests.proofs.kit import PeerProject, Proof
    from tests.support.database import Database

    from lockgate.report.report import Report

# One branch each, except the last, which follows the merge of the others.
MODULES = 7
# SQLAlchemy cannot send COPY data, and Alembic controls a revision's transaction.
CHANGES = make_changes(MODULES, without=frozenset({Trait.COPY, Trait.OWN_TRANSACTION}))
EACH = len(CHANGES) // MODULES
ROOT, MERGE = "root00", "0merge"
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


def lay_out(changes: Sequence[Change]) -> dict[str, str]:
    """Write a revision for each change, one below all of them, and one that merges branches."""
    heads = tuple(find_id(EACH * module - 1) for module in range(MODULES - 1, 0, -1))
    revisions = {
        ROOT: make_revision(ROOT, None, ROOT_UP, ROOT_DOWN),
        MERGE: make_revision(MERGE, heads, "    pass", "    pass"),
    }
    for place, change in enumerate(changes):
        module, number = divmod(place, EACH)
        below = find_id(place - 1) if number else MERGE if module == MODULES - 1 else ROOT
        revisions[find_id(place)] = make_revision(
            find_id(place),
            below,
            write_body(change.up, is_inside=change.in_transaction),
            write_body(change.down, is_inside=change.in_transaction),
            depends=find_id(place - EACH - 1) if module == 1 and number == EACH // 2 else None,
            label=f"line{module}" if not number and module < MODULES - 1 else None,
        )
    files = {f"schema/versions/{revision}.py": text for revision, text in revisions.items()}
    return {"alembic.ini": INI, "schema/env.py": ENV, **files}


def make_revision(
    revision: str,
    downs: str | tuple[str, ...] | None,
    up: str,
    down: str,
    *,
    depends: str | None = None,
    label: str | None = None,
) -> str:
    """Return one revision in the form of Alembic's template."""
    return REVISION.format(
        title=f"make {revision}",
        revision=revision,
        downs=downs,
        labels=None if label is None else (label,),
        depends=depends,
        up=up,
        down=down,
    )


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


def run(project: PeerProject, database: Database, *command: str) -> str:
    """Run one command on a database."""
    program = project.peers.find_program("alembic")
    python = program.with_name("python")
    found = subprocess.run([python, "-c", "import psycopg2"], check=False, capture_output=True)
    if found.returncode:
        pytest.skip(f"{program} has no psycopg2 beside it")
    return project.run("alembic", *command, database=database)


def upgrade(project: PeerProject, database: Database) -> str:
    """Apply everything."""
    return run(project, database, "upgrade", "heads")


def upgrade_two_branches(project: PeerProject, database: Database) -> str:
    """Apply half of the first branch and the whole third one, which leaves two heads."""
    run(project, database, "upgrade", find_id(EACH // 2))
    return run(project, database, "upgrade", find_id(EACH * 3 - 1))


def downgrade(project: PeerProject, database: Database) -> None:
    """Undo the last branch."""
    run(project, database, "downgrade", MERGE)


def compare_order(_: Proof, printed: str, report: Report) -> None:
    """Alembic ran the revisions in Lockgate's order."""
    lines = [line.split() for line in printed.splitlines()]
    order = [words[1] for words in lines if words[:1] == ["ran"]]
    assert order == [entry.version for entry in report.applied]


TOOL = Tool(
    name="alembic",
    changes=CHANGES,
    lay_out=lay_out,
    folder=".",
    extra=2,
    up=upgrade,
    check_up=compare_order,
    own="DROP TABLE IF EXISTS alembic_version",
    history="alembic_version",
    # Alembic stores only the heads; their ancestors are adopted as well.
    half=Half(
        count=1 + EACH // 2 + 1 + EACH,
        rows=2,
        run=upgrade_two_branches,
        is_warned=True,
        settings={"LOCKGATE_OUT_OF_ORDER": "apply"},
    ),
    down=Down(EACH, downgrade, MERGE),
)
