"""The same migrations in the layout of every format.

A test that must hold in every format takes the names from the registry, so a new tool joins by itself
and fails until it has a layout here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Files = dict[str, str]

PLAN = "%syntax-version=1.0.0\n%project=p\n\n"
SIGNED = "2024-01-01T00:00:00Z A <a@example.com>"


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: its scripts, and whether they run outside of a transaction.

    A format without down scripts leaves ``down`` out. A format without a sign for ``is_outside`` decides
    from the statements.
    """

    up: str
    down: str = "SELECT 1;\n"
    is_outside: bool = False


def lay_out(name: str, *steps: Step) -> Files:
    """Return the files of a folder in a format; the versions count from 1."""
    return _LAYOUTS[name](*steps)


def _each(file: Callable[[int, Step], Files]) -> Callable[..., Files]:
    """Return a layout whose migrations know nothing of each other."""

    def lay(*steps: Step) -> Files:
        return {
            path: text
            for number, step in enumerate(steps, start=1)
            for path, text in file(number, step).items()
        }

    return lay


def _pair(up: str, down: str, outside: str = "") -> Callable[[int, Step], Files]:
    """Return a layout with a file for each direction."""

    def files(number: int, step: Step) -> Files:
        head = outside if step.is_outside else ""
        return {
            up.format(number=number): head + step.up,
            down.format(number=number): head + step.down,
        }

    return files


def _native(number: int, step: Step) -> Files:
    option = " transaction:false" if step.is_outside else ""
    up, down = f"-- migrate:up{option}\n{step.up}", f"-- migrate:down{option}\n{step.down}"
    return {f"{number}_step.sql": up + down}


def _goose(number: int, step: Step) -> Files:
    head = "-- +goose NO TRANSACTION\n" if step.is_outside else ""
    up, down = f"-- +goose Up\n{step.up}", f"-- +goose Down\n{step.down}"
    return {f"{number:05}_step.sql": head + up + down}


def _diesel(number: int, step: Step) -> Files:
    option = {f"{number}_step/metadata.toml": "run_in_transaction = false\n"}
    scripts = {f"{number}_step/up.sql": step.up, f"{number}_step/down.sql": step.down}
    return scripts | (option if step.is_outside else {})


def _flyway(number: int, step: Step) -> Files:
    scripts = {f"V{number}__step.sql": step.up, f"U{number}__step.sql": step.down}
    options = {f"{name}.conf": "executeInTransaction=false\n" for name in scripts}
    return scripts | (options if step.is_outside else {})


def _liquibase(number: int, step: Step) -> Files:
    option = " runInTransaction:false" if step.is_outside else ""
    head = f"--liquibase formatted sql\n--changeset a:{number}{option}\n"
    return {f"{number}.sql": f"{head}{step.up}/* liquibase rollback\n{step.down}*/\n"}


def _node_pg_migrate(number: int, step: Step) -> Files:
    up, down = f"-- Up Migration\n{step.up}", f"-- Down Migration\n{step.down}"
    return {f"{number}_step.sql": up + down}


def _graphile_migrate(*steps: Step) -> Files:
    files: Files = {}
    previous = ""
    for number, step in enumerate(steps, start=1):
        body = ("--! no-transaction\n" if step.is_outside else "") + step.up
        text = f"{previous}\n{body.strip()}".strip() + "\n"
        digest = "sha1:" + hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        head = f"--! Previous: {previous or '-'}\n--! Hash: {digest}\n\n"
        files[f"committed/{number:06}.sql"] = head + body
        previous = digest
    return files


def _sqitch(*steps: Step) -> Files:
    numbers = range(1, len(steps) + 1)
    plan = PLAN + "".join(f"step{number} {SIGNED}\n" for number in numbers)
    return {"sqitch.plan": plan} | _each(
        _pair("deploy/step{number}.sql", "revert/step{number}.sql")
    )(*steps)


def _alembic(number: int, step: Step) -> Files:
    before = None if number == 1 else f"{number - 1}"

    def call(sql: str) -> str:
        if step.is_outside:
            return f"    with op.get_context().autocommit_block():\n        op.execute({sql!r})\n"
        return f"    op.execute({sql!r})\n"

    return {
        f"{number}_step.py": f"from alembic import op\n\nrevision = '{number}'\n"
        f"down_revision = {before!r}\n\n\ndef upgrade():\n{call(step.up)}\n\n"
        f"def downgrade():\n{call(step.down)}"
    }


_LAYOUTS: dict[str, Callable[..., Files]] = {
    "lockgate": _each(_native),
    "alembic": _each(_alembic),
    "dbmate": _each(_native),
    "diesel": _each(_diesel),
    "flyway": _each(_flyway),
    "golang-migrate": _each(_pair("{number}_step.up.sql", "{number}_step.down.sql")),
    "goose": _each(_goose),
    "graphile-migrate": _graphile_migrate,
    "knex": _each(_pair("{number}_step.up.sql", "{number}_step.down.sql")),
    "liquibase": _each(_liquibase),
    "node-pg-migrate": _each(_node_pg_migrate),
    "postgres-migrations": _each(
        lambda number, step: {
            f"{number}_step{number}.sql": (
                "-- postgres-migrations disable-transaction\n" if step.is_outside else ""
            )
            + step.up
        }
    ),
    "prisma": _each(lambda number, step: {f"{number}_step/migration.sql": step.up}),
    "rails": _each(_native),
    "sqitch": _sqitch,
    "sqlx": _each(_pair("{number}_step.up.sql", "{number}_step.down.sql", "-- no-transaction\n")),
    "yoyo": _each(
        _pair("{number}_step.sql", "{number}_step.rollback.sql", "-- transactional: false\n")
    ),
}
