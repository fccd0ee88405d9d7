"""The default migrations: they apply, they work, and their down scripts undo them."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pg8000.dbapi
import pg8000.native
import pytest
import sqlalchemy as sa
from tests.support.engine import run_request

from lockgate.core.migration import Language
from lockgate.core.request import Action, Caller, Request
from lockgate.formats.native.reader import read_folder
from lockgate.report.report import Report, Status
from lockgate.settings import read_settings

if TYPE_CHECKING:
    from tests.support.database import Database

    from lockgate.core.migration import Migration

FOLDER = Path(__file__).parents[1] / "migrations"
BEFORE_SLUGS = "20260202090000"


def run_up(database: Database, *, target: str | None = None) -> Report:
    """Apply the migrations as the function does."""
    settings = read_settings({**database.environment, "LOCKGATE_MIGRATIONS": str(FOLDER)})
    return run_request(settings, Request(Action.UP, Caller("test"), target=target))


def list_versioned() -> list[Migration]:
    """Return the versioned migrations, in order."""
    catalog = read_folder(FOLDER, {})
    return [migration for migration in catalog.migrations if migration.version is not None]


def run_down(database: Database, migration: Migration) -> None:
    """Run a down script directly."""
    assert migration.down is not None, f"{migration.label} has no down script"
    if migration.down.language is Language.SQL:
        database.run(migration.down.text)
        return
    engine = sa.create_engine("postgresql+pg8000://", creator=lambda: open_dbapi(database))
    namespace: dict[str, object] = {}
    exec(compile(migration.down.text, migration.path, "exec"), namespace)  # noqa: S102
    down = namespace["down"]
    assert callable(down)
    with engine.begin() as connection:
        down(connection)
    engine.dispose()


def open_dbapi(database: Database) -> pg8000.dbapi.Connection:
    """Open a connection for SQLAlchemy."""
    return pg8000.dbapi.connect(
        database.user,
        password=database.password,
        host=database.host,
        port=database.port,
        database=database.name,
        ssl_context=ssl.create_default_context(cafile=str(database.ca_file)),
    )


def test_default_migrations_apply_once(database: Database) -> None:
    """The first run applies all of them, the second finds nothing to do."""
    first, second = run_up(database), run_up(database)

    assert (first.error, first.status) == (None, Status.APPLIED)
    assert len(list(FOLDER.glob("*.*"))) == len(first.applied)
    assert (second.status, second.applied) == (Status.UP_TO_DATE, ())
    assert ((), ()) == (tuple(first.warnings), tuple(second.warnings))


def test_default_migrations_touch_their_own_schema_alone(database: Database) -> None:
    """The default migrations create tables only in their own schema."""
    run_up(database)

    tables = "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname !~ '^(pg_|information_)'"
    assert [["lockgate"], ["shop"]] == sorted(database.run(tables))


def test_default_downs_undo_their_ups(database: Database) -> None:
    """Each down script restores exactly the schema before its up script."""
    before = {}
    for migration in list_versioned():
        before[migration.migration_id] = database.dump()
        assert run_up(database, target=migration.migration_id).error is None
    # The repeatables ran with the last version and belong to no version.
    database.run("DROP VIEW shop.order_balances; DROP FUNCTION shop.find_customer(text)")

    for migration in reversed(list_versioned()):
        run_down(database, migration)
        assert before[migration.migration_id] == database.dump(), migration.label


def test_default_downs_undo_repeatables_too(database: Database) -> None:
    """The down scripts also remove what the repeatable migrations created."""
    before = database.dump()
    run_up(database)

    for migration in reversed(list_versioned()):
        run_down(database, migration)

    assert before == database.dump()


def test_products_that_were_there_get_slugs(database: Database) -> None:
    """The Python migration fills the slugs of existing products before the column becomes NOT NULL."""
    assert run_up(database, target=BEFORE_SLUGS).status is Status.APPLIED
    database.run(
        "INSERT INTO shop.products (sku, name, price, currency)"
        " VALUES ('a', 'Crème brûlée', 4.5, 'EUR'), ('b', '日本茶', 900, 'JPY')"
    )

    assert run_up(database).status is Status.APPLIED

    expected = [["creme-brulee-1"], ["2"]]
    assert expected == database.run("SELECT slug FROM shop.products ORDER BY id")


def test_shop_balances_an_order(database: Database) -> None:
    """The repeatable view and function work, and a payment counts once for all items."""
    run_up(database)
    database.run(
        """
        INSERT INTO shop.customers (email, name) VALUES ('Ada@Example.com', 'Ada');
        INSERT INTO shop.products (sku, name, price, currency, slug)
        VALUES ('tea', 'Tea', 3, 'EUR', 'tea-1'), ('cup', 'Cup', 5, 'EUR', 'cup-2');
        INSERT INTO shop.orders (customer_id, currency) VALUES (1, 'EUR');
        INSERT INTO shop.order_items VALUES (1, 1, 1, 2, 3), (1, 2, 2, 1, 5);
        INSERT INTO shop.payments (order_id, amount, provider, provider_reference)
        VALUES (1, 4, 'bank', 'r1'), (1, 5, 'bank', 'r2');
        """
    )

    assert [["Ada"]] == database.run("SELECT name FROM shop.find_customer('ada@example.COM')")
    balances = "SELECT total::float, paid::float, due::float FROM shop.order_balances"
    assert [[11.0, 9.0, 2.0]] == database.run(balances)


def test_refunded_orders_stop_the_down_of_their_status(database: Database) -> None:
    """While a row has the status, the down script fails and changes nothing."""
    run_up(database, target=BEFORE_SLUGS)
    database.run(
        """
        INSERT INTO shop.customers (email, name) VALUES ('ada@example.com', 'Ada');
        INSERT INTO shop.orders (customer_id, currency, status) VALUES (1, 'EUR', 'refunded');
        """
    )
    before = database.dump()
    (migration,) = (found for found in list_versioned() if found.migration_id == BEFORE_SLUGS)

    with pytest.raises(pg8000.native.DatabaseError, match="refunded"):
        run_down(database, migration)

    assert before == database.dump()
