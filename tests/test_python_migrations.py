"""Python migrations on a real server: loaded like modules, and refused if their code would not run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

IDLE = {
    "generator": "def up(connection):\n    connection.exec_driver_sql('SELECT 1')\n    yield\n",
    "yield_from": "def up(connection):\n    yield from ()\n",
    "yield_in_a_block": "def up(connection):\n    if connection:\n        x = yield\n",
    "decorated": (
        "from contextlib import contextmanager\n\n@contextmanager\ndef up(connection):\n    yield\n"
    ),
    "generator_expression": "def up(connection):\n    return (x for x in [1])\n",
    "returned_lambda": "def up(connection):\n    return lambda: 1\n",
}
LAZY = {
    "helper": (
        "def work(connection):\n    yield\n\ndef up(connection):\n    return work(connection)\n"
    ),
    "coroutine": (
        "async def work(connection):\n    pass\n\ndef up(connection):\n    return work(connection)\n"
    ),
    "asynchronous_generator": (
        "async def work(connection):\n    yield\n\ndef up(connection):\n    return work(connection)\n"
    ),
    "decorator": (
        "def later(function):\n    return lambda connection: (lambda: function(connection))\n\n"
        "@later\ndef up(connection):\n    pass\n"
    ),
    "map": "def up(connection):\n    return map(connection.exec_driver_sql, ['SELECT 1'])\n",
    "partial": (
        "from functools import partial\n\ndef up(connection):\n"
        "    return partial(connection.exec_driver_sql, 'SELECT 1')\n"
    ),
    "method": "def up(connection):\n    return connection.exec_driver_sql\n",
    "context_manager": (
        "from contextlib import contextmanager\n\n@contextmanager\ndef work(connection):\n    yield\n\n"
        "def up(connection):\n    return work(connection)\n"
    ),
}
NOT_FUNCTIONS = {
    "async_function": "async def up(connection):\n    pass\n",
    "lambda": "up = lambda connection: (x for x in [1])\n",
    "alias": "def work(connection):\n    yield\n\nup = work\n",
}
FINE = {
    "inner_generator": (
        "def up(connection):\n    def names():\n        yield 'made'\n"
        "    for name in names():\n        connection.exec_driver_sql(f'CREATE TABLE {name} ()')\n"
    ),
    "returns_a_result": (
        "def up(connection):\n    return connection.exec_driver_sql('CREATE TABLE made ()')\n"
    ),
    "returns_a_number": (
        "def up(connection):\n    connection.exec_driver_sql('CREATE TABLE made ()')\n    return 1\n"
    ),
}


def message_of(project: Project, action: Action = Action.UP) -> str:
    """Run, expect a failure, and return its message."""
    report = project.run(action)
    assert report.error is not None, report
    return report.error.message


@pytest.mark.parametrize("action", [Action.UP, Action.PLAN, Action.VALIDATE])
@pytest.mark.parametrize("name", IDLE)
def test_idle_function_is_refused_before_anything_runs(
    project: Project, name: str, action: Action
) -> None:
    """A pending file whose up would not run its body is refused with its line, before anything runs."""
    project.write({"1_a.sql": "CREATE TABLE a ();", "2_b.py": IDLE[name]})
    message = message_of(project, action)
    assert message.startswith("2_b.py:")
    assert "so that calling it does nothing" in message
    assert [] == project.database.run("SELECT FROM pg_class WHERE relname = 'a'")


@pytest.mark.parametrize("name", NOT_FUNCTIONS)
def test_up_that_is_not_a_plain_function_is_refused(project: Project, name: str) -> None:
    """The name up must be bound to a plain function, or nothing runs, not even what comes before."""
    project.write({"1_a.sql": "CREATE TABLE a ();", "2_b.py": NOT_FUNCTIONS[name]})
    for action in (Action.PLAN, Action.VALIDATE, Action.UP):
        assert "defines up as " in message_of(project, action)
    assert [] == project.database.run("SELECT FROM pg_class WHERE relname = 'a'")


@pytest.mark.parametrize("name", LAZY)
def test_returned_work_fails_the_migration(project: Project, name: str) -> None:
    """A migration that returns unexecuted work fails and is not recorded."""
    project.write({"1_a.py": LAZY[name]})
    assert "which is never run" in message_of(project)
    assert [] == project.history()


def test_error_without_words_is_the_migrations_own(project: Project) -> None:
    """An exception whose __str__ fails is reported as the migration's failure, with its class name."""
    text = (
        "class Mute(Exception):\n    def __str__(self):\n        raise RuntimeError\n\n"
        "def up(connection):\n    raise Mute\n"
    )
    project.write({"1_a.py": text})
    error = project.run().error
    assert error is not None
    assert "migration-failed" == error.code
    assert "Migration 1 a failed: Mute. 1_a.py:6:5." in error.message


@pytest.mark.parametrize("name", FINE)
def test_function_can_use_generators_and_return_values(project: Project, name: str) -> None:
    """A function may use generators inside and return values."""
    project.write({"1_a.py": FINE[name]})
    assert Status.APPLIED == project.run().status
    assert [[]] == project.database.run("SELECT FROM pg_class WHERE relname = 'made'")


def test_verify_that_is_a_generator_is_refused(project: Project) -> None:
    """A generator as verify is refused: it is always true, so it cannot report whether work is done."""
    text = "transaction = False\n\ndef up(connection):\n    pass\n\n"
    project.write({"1_a.py": f"{text}def verify(connection):\n    yield False\n"})
    assert "defines verify as a generator" in message_of(project)


MODULE = '''"""Uses what a module that Python has imported may use."""
import pickle
import sys
import typing
from dataclasses import dataclass

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)


@dataclass
class Point:
    x: int
    y: "int" = 2


def up(connection):
    this = sys.modules[__name__]
    assert this.Point is Point
    assert Point.__annotations__["x"] is int
    assert typing.get_type_hints(Point) == {"x": int, "y": int}
    assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
    Base.metadata.create_all(connection)


def down(connection):
    Base.metadata.drop_all(connection)
'''


REVISION = (
    MODULE.replace('"""\n', '"""\nfrom alembic import op\n', 1)
    .replace("def up(connection):\n", "def upgrade():\n")
    .replace("def down(connection):\n", "def downgrade():\n")
    .replace("(connection)", "(op.get_bind())")
    + '\n\nrevision = "1"\ndown_revision = None\n'
)


@pytest.mark.parametrize(("tool", "text"), [("lockgate", MODULE), ("alembic", REVISION)])
def test_module_is_one_of_pythons_modules_while_it_runs(
    project: Project, tool: str, text: str
) -> None:
    """Dataclasses, mapped annotations, pickles and sys.modules work as in an imported module."""
    project.settings["LOCKGATE_FORMAT"] = tool
    project.write({"1_a.py": text})
    assert Status.APPLIED == project.run().status
    report = project.do(Action.DOWN, steps=1, reason="test", requested_by="test")
    assert Status.ROLLED_BACK == report.status, report.error

    assert [] == [name for name in sys.modules if name.startswith("lockgate_migration_")]
