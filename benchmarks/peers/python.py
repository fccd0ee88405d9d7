"""Tools of Python: yandex-pgmigrate, yoyo, pyway, Alembic, Django."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.peer import Command, Kind, Peer, Target, Tools, write_new

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.workload import Change


def find(name: str) -> Callable[[Tools], Path | None]:
    """Return a function that finds a program."""
    return lambda tools: tools.find(name)


def write_pgmigrate(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write V files, numbered."""
    for change in changes:
        write_new(folder / "migrations" / f"V{change.number:05d}__{change.name}.sql", change.up)


def start_pgmigrate(program: Path, _folder: Path, target: Target) -> Command:
    """Apply pending migrations."""
    address = f"host={target.host} port={target.port} dbname={target.dbname} user={target.user}"
    return Command((str(program), "-d", ".", "-t", "latest", "-c", address, "migrate"))


def write_yoyo(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write SQL files with their rollbacks."""
    for change in changes:
        stem = f"{change.number:05d}.{change.name}"
        write_new(folder / "migrations" / f"{stem}.sql", change.up)
        write_new(folder / "migrations" / f"{stem}.rollback.sql", change.down)


def start_yoyo(program: Path, _folder: Path, target: Target) -> Command:
    """Apply pending migrations."""
    url = f"postgresql:///{target.dbname}"
    argv = ("apply", "--batch", "--no-config-file", "--database", url, "migrations")
    return Command((str(program), *argv))


def write_pyway(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write V files, numbered in pairs."""
    for change in changes:
        major, minor = divmod(change.number, 100)
        write_new(folder / "migrations" / f"V{major + 1}_{minor}__{change.name}.sql", change.up)


def start_pyway(program: Path, _folder: Path, target: Target) -> Command:
    """Apply pending migrations."""
    settings = {
        "PYWAY_TYPE": "postgres",
        "PYWAY_DATABASE_MIGRATION_DIR": "migrations",
        "PYWAY_TABLE": "public.pyway",
        "PYWAY_DATABASE_HOST": target.host,
        "PYWAY_DATABASE_PORT": str(target.port),
        "PYWAY_DATABASE_NAME": target.dbname,
        "PYWAY_DATABASE_USERNAME": target.user,
        "PYWAY_DATABASE_PASSWORD": target.password,
    }
    return Command((str(program), "migrate"), settings)


_ALEMBIC_INI = "[alembic]\nscript_location = %(here)s/schema\n"
_ALEMBIC_ENV = """from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine("postgresql+psycopg2://", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
_REVISION = '''"""{name}

Revision ID: {revision}
Revises: {before}
"""
from alembic import op

revision = "{revision}"
down_revision = {down}
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute({up!r})


def downgrade() -> None:
    op.execute({undo!r})
'''


def write_alembic(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write a project whose revisions execute the SQL, one transaction each."""
    write_new(folder / "alembic.ini", _ALEMBIC_INI)
    write_new(folder / "schema/env.py", _ALEMBIC_ENV)
    before = ""
    for change in changes:
        text = _REVISION.format(
            name=change.name,
            revision=change.version,
            before=before,
            down=repr(before) if before else None,
            up=change.up,
            undo=change.down,
        )
        write_new(folder / "schema/versions" / f"{change.version}_{change.name}.py", text)
        before = change.version


def start_alembic(program: Path, _folder: Path, _target: Target) -> Command:
    """Apply pending migrations."""
    return Command((str(program), "upgrade", "head"))


_DJANGO_SETTINGS = """import os

SECRET_KEY = "benchmark"
INSTALLED_APPS = ["shop"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "PASSWORD": os.environ["PGPASSWORD"],
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
    }
}
"""
_DJANGO_MIGRATION = """from django.db import migrations


class Migration(migrations.Migration):
    dependencies = {dependencies!r}
    operations = [migrations.RunSQL({up!r}, {down!r})]
"""


def write_django(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write a project with one app, whose migrations run the SQL."""
    write_new(folder / "settings.py", _DJANGO_SETTINGS)
    write_new(folder / "shop/__init__.py", "")
    write_new(folder / "shop/migrations/__init__.py", "")
    before: list[tuple[str, str]] = []
    for change in changes:
        name = f"{change.number:05d}_{change.name}"
        text = _DJANGO_MIGRATION.format(dependencies=before, up=change.up, down=change.down)
        write_new(folder / "shop/migrations" / f"{name}.py", text)
        before = [("shop", name)]


def start_django(program: Path, _folder: Path, _target: Target) -> Command:
    """Apply pending migrations."""
    settings = {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": "."}
    return Command((str(program), "migrate", "--skip-checks"), settings)


PYTHON = (
    Peer(
        "yandex-pgmigrate",
        Kind.PYTHON,
        find("pgmigrate"),
        write_pgmigrate,
        start_pgmigrate,
        most=10_000,
    ),
    Peer("yoyo", Kind.PYTHON, find("yoyo"), write_yoyo, start_yoyo),
    # Its time grows with the square of the number of migrations: minutes for a thousand.
    Peer("pyway", Kind.PYTHON, find("pyway"), write_pyway, start_pyway, most=100),
    Peer("Alembic", Kind.PYTHON, find("alembic"), write_alembic, start_alembic),
    Peer("Django", Kind.PYTHON, find("django-admin"), write_django, start_django),
)
