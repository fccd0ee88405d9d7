"""Alembic revisions on the run's connection: transactions, errors and what the history stores."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.project import Project

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.database import Database

HEAD = '''"""{name}"""
from alembic import op
import sqlalchemy as sa

revision = "{name}"
down_revision = {below!r}
'''

ONE_BY_ONE = 'op.drop_table("u", if_exists=True)\nop.drop_table("t")\nop.execute("DROP TYPE mood")'


@pytest.fixture
def revisions(database: Database, tmp_path: Path) -> Project:
    """Return a project with an empty folder of revisions and a fresh database."""
    folder = tmp_path / "versions"
    folder.mkdir()
    return Project(folder, database, {"LOCKGATE_FORMAT": "alembic"})


def make_revision(
    name: str, below: str | None, up: str, down: str = "pass", *, more: str = ""
) -> dict[str, str]:
    """Return a revision file; the lines of the function bodies are given without indentation."""
    bodies = [
        f"def {function}():\n" + "".join(f"    {line}\n" for line in body.splitlines())
        for function, body in (("upgrade", up), ("downgrade", down))
    ]
    return {f"{name}.py": "\n".join([HEAD.format(name=name, below=below) + more, *bodies])}


def test_revision_runs_in_the_runs_transaction(revisions: Project) -> None:
    """Operations, percent signs, bound rows and a session's commit all stay in the run's transaction."""
    up = (
        'op.create_table("t", sa.Column("a", sa.Text, server_default="5 %", comment="a\\"b"))\n'
        "op.execute(\"INSERT INTO t VALUES ('50 %'), ('\\\\:x')\")\n"
        'op.bulk_insert(sa.table("t", sa.column("a")), [{"a": "x"}, {"a": "y"}])\n'
        "from sqlalchemy.orm import Session\n"
        "with Session(bind=op.get_bind()) as session:\n"
        '    session.execute(sa.text("DELETE FROM t WHERE a = :a"), {"a": "y"})\n'
        "    session.commit()\n"
        'op.execute("DO $$ BEGIN PERFORM 1 FROM lockgate.migration_lock; END $$")\n'
        'assert op.get_bind().scalar(sa.text("SELECT count(*) FROM t")) == 3\n'
    )
    revisions.write(make_revision("a", None, up))
    assert Status.APPLIED is revisions.run().status
    rows = revisions.database.run('SELECT a FROM t ORDER BY a COLLATE "C"')
    assert ([("a", "applied")], [["50 %"], [":x"], ["x"]]) == (revisions.history(), rows)


def test_named_type_is_made_once_in_a_run(revisions: Project) -> None:
    """A type that an earlier revision created is reused, in one transaction and in several."""
    column = 'sa.Column("m", sa.Enum("a", "b", name="mood"))'
    for atomicity in ("run", "migration"):
        revisions.write(make_revision("a", None, f'op.create_table("t", {column})', ONE_BY_ONE))
        down = 'op.execute("SELECT 1")'
        revisions.write(make_revision("b", "a", f'op.create_table("u", {column})', down))
        report = revisions.do(Action.UP, LOCKGATE_ATOMICITY=atomicity)
        assert (Status.APPLIED, 2) == (report.status, len(report.applied))
        revisions.do(Action.DOWN, target="0", reason="again", allow_data_loss=True)


def test_named_type_that_was_rolled_back_is_made_again(revisions: Project) -> None:
    """A transaction retried after a lock timeout creates the type again."""
    column = 'sa.Column("m", sa.Enum("a", "b", name="mood"))'
    fail_once = (
        f'op.create_table("t", {column})\n'
        "import builtins\n"
        'if not hasattr(builtins, "lockgate_tried"):\n'
        "    builtins.lockgate_tried = True\n"
        '    op.execute("DO $$ BEGIN RAISE lock_not_available; END $$")\n'
        "del builtins.lockgate_tried"
    )
    revisions.write(make_revision("a", None, fail_once))
    assert Status.APPLIED is revisions.run().status


def test_context_answers_what_it_can_without_a_project(revisions: Project) -> None:
    """``alembic.context`` answers without a project; ``is_offline_mode`` is always false."""
    up = (
        'context.execute("CREATE TABLE t ()")\n'
        "assert not context.is_offline_mode()\n"
        "assert context.get_bind() is op.get_bind()\n"
        "assert context.get_context() is op.get_context()\n"
        'assert context.config.get_main_option("a") is None'
    )
    revisions.write(make_revision("a", None, up, more="from alembic import context\n"))
    report = revisions.run()
    assert (Status.APPLIED, None) == (report.status, report.error)


def test_module_named_by_its_package_is_imported(revisions: Project) -> None:
    """A submodule is imported on first use, as env.py or another revision would do under Alembic."""
    up = (
        "import wsgiref\nassert wsgiref.types.StartResponse\nassert not hasattr(wsgiref, 'nowhere')"
    )
    sys.modules.pop("wsgiref.types", None)
    revisions.write(make_revision("a", None, up))
    assert Status.APPLIED is revisions.run().status


def test_configuration_is_the_projects(revisions: Project) -> None:
    """A revision reads options from alembic.ini; a missing option is None."""
    (revisions.folder.parent / "alembic.ini").write_text("[alembic]\nflavour = plain\n")
    up = (
        "config = op.get_context().config\n"
        'assert config.get_main_option("flavour") == "plain"\n'
        'assert config.get_main_option("other") is None'
    )
    revisions.write(make_revision("a", None, up))
    assert Status.APPLIED is revisions.run().status


def test_failure_names_its_line_and_leaves_nothing(revisions: Project) -> None:
    """The changes of a failed revision are rolled back, and the error names file and line."""
    up = 'op.execute("CREATE TABLE t ()")\nop.execute("CREATE TABLE t ()")'
    revisions.write(make_revision("a", None, up))
    error = revisions.run().error
    assert error is not None
    assert ("a.py", 10, "42P07") == (error.file, error.line, error.sqlstate)
    assert [[0]] == revisions.database.run("SELECT count(*) FROM pg_class WHERE relname = 't'")


@pytest.mark.parametrize(
    ("up", "expected"),
    [
        ("import xml\nxml.nowhere.Node", "import in the revision itself what it uses."),
        ("import nowhere_at_all", "Modules that a migration imports must be in the package"),
    ],
)
def test_failed_import_names_the_missing_module(revisions: Project, up: str, expected: str) -> None:
    """The hint says to import the module in the revision, or to put it into the package."""
    revisions.write(make_revision("a", None, up))
    error = revisions.run().error
    assert error is not None
    assert expected in (error.hint or "")


def test_block_without_transaction_runs_between_two(revisions: Project) -> None:
    """Statements before the autocommit block are committed; those after it run in a new transaction."""
    up = (
        'op.execute("CREATE TABLE t (a int)")\n'
        "with op.get_context().autocommit_block():\n"
        '    op.execute("CREATE INDEX CONCURRENTLY i ON t (a)")\n'
        '    op.create_index("j", "t", ["a"], postgresql_concurrently=True)\n'
        'op.execute("SAVEPOINT s")\n'
        'op.execute("CREATE TABLE u ()")'
    )
    down = (
        "with op.get_context().autocommit_block():\n"
        '    op.execute("DROP INDEX CONCURRENTLY i")\n'
        'op.execute("DROP TABLE t, u")'
    )
    revisions.write(make_revision("a", None, up, down))
    report = revisions.run()
    assert (Status.APPLIED, ()) == (report.status, tuple(report.warnings))
    count = "SELECT count(*) FROM pg_class WHERE relname IN ('t', 'i', 'j', 'u')"
    assert [[4]] == revisions.database.run(count)
    revisions.do(Action.DOWN, target="0", reason="back", allow_data_loss=True)
    assert [[0]] == revisions.database.run(count)


def test_failure_after_a_block_rolls_the_rest_back(revisions: Project) -> None:
    """Statements before the autocommit block stay committed, and the revision is recorded as partial."""
    up = (
        'op.execute("CREATE TABLE t ()")\n'
        "with op.get_context().autocommit_block(): pass\n"
        'op.execute("CREATE TABLE u ()")\n'
        "raise ValueError"
    )
    revisions.write(make_revision("a", None, up))
    error = revisions.run().error
    assert error is not None
    assert ("a.py", 12) == (error.file, error.line)
    rows = revisions.database.run("SELECT relname FROM pg_class WHERE relname IN ('t', 'u')")
    assert ([["t"]], [("a", "partial")]) == (rows, revisions.history())


def test_own_commit_is_allowed(revisions: Project) -> None:
    """A revision that executes COMMIT manages its own transactions, as under Alembic."""
    up = (
        "op.execute(\"CREATE TYPE m AS ENUM ('a')\")\n"
        'op.execute("COMMIT")\n'
        "op.execute(\"ALTER TYPE m ADD VALUE 'b'\")\n"
        'op.execute("COMMIT")\n'
        "op.execute(\"CREATE TABLE t (m m DEFAULT 'b')\")"
    )
    revisions.write(make_revision("a", None, up))
    assert Status.APPLIED is revisions.run().status
    assert [["{a,b}"]] == revisions.database.run("SELECT enum_range(NULL::m)::text")


def test_hidden_end_of_the_transaction_is_refused(revisions: Project) -> None:
    """An autocommit block hidden from the source fails the revision before anything is committed."""
    up = (
        'op.execute("CREATE TABLE t ()")\n'
        'with getattr(op.get_context(), "autocommit" + "_block")(): pass'
    )
    revisions.write(make_revision("a", None, up))
    error = revisions.run().error
    assert error is not None
    assert "the transaction belongs to the run" in error.message
    assert [[0]] == revisions.database.run("SELECT count(*) FROM pg_class WHERE relname = 't'")


def test_file_can_read_its_neighbours(revisions: Project) -> None:
    """``__file__`` is the path of the revision, so files next to it can be read."""
    revisions.write({"sql/a.txt": "CREATE TABLE t ()"})
    up = 'op.execute((Path(__file__).parent / "sql/a.txt").read_text())'
    revisions.write(make_revision("a", None, up, more="from pathlib import Path\n"))
    assert Status.APPLIED is revisions.run().status


def test_revision_without_its_file_is_undone_from_the_history(revisions: Project) -> None:
    """The stored text identifies itself as an Alembic revision, so it can be undone without its file."""
    revisions.write(make_revision("a", None, 'op.execute("CREATE TABLE t ()")'))
    up, down = 'op.execute("CREATE TABLE u ()")', 'op.drop_table("u")'
    revisions.write(make_revision("b", "a", up, down))
    revisions.run()
    revisions.remove("b.py")
    report = revisions.do(Action.DOWN, target="a", reason="back", allow_data_loss=True)
    assert (["b"], [("a", "applied")]) == (
        [entry.version for entry in report.reverted],
        revisions.history(),
    )


def test_tables_of_alembic_are_kept_out(revisions: Project) -> None:
    """Lockgate does not create Alembic's version table unless a revision refers to it."""
    revisions.write(make_revision("a", None, "pass"))
    revisions.run()
    find = "SELECT count(*) FROM pg_class WHERE relname = 'alembic_version'"
    assert [[0]] == revisions.database.run(find)
    touch = 'op.execute("ALTER TABLE alembic_version ALTER version_num TYPE varchar(99)")'
    revisions.write(make_revision("b", "a", touch))
    assert Status.APPLIED is revisions.run().status
    assert [[1]] == revisions.database.run(find)


@pytest.mark.parametrize(("is_done", "left"), [("True", 0), ("False", 1)])
def test_interrupted_revision_can_verify_whether_it_is_done(
    revisions: Project, is_done: str, left: int
) -> None:
    """A failed revision with its own transactions runs again only if ``verify`` returns False."""
    block = "with op.get_context().autocommit_block(): pass\n"
    revisions.write(make_revision("a", None, f"{block}raise ValueError"))
    assert Status.FAILED is revisions.run().status
    assert Status.REFUSED is revisions.run().status
    verify = f"def verify(connection):\n    return {is_done}\n"
    up = f'{block}op.execute("CREATE TABLE t ()")'
    revisions.write(make_revision("a", None, up, more=verify))
    assert Status.APPLIED is revisions.run().status
    assert [[left]] == revisions.database.run("SELECT count(*) FROM pg_class WHERE relname = 't'")
