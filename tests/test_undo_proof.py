"""An automatic undo requires a proof: what it undoes, and what it must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.layouts import Step, lay_out

from lockgate.formats.names import list_formats
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.project import Project

BAD = "SELECT nonsense;"
UNPROVED = "It cannot be proved that an automatic undo is safe: "
BEFORE = """
CREATE TABLE account (id int PRIMARY KEY, email text, old_name varchar(20));
INSERT INTO account SELECT i, 'e' || i, 'n' || i FROM generate_series(1, 50) AS i;
CREATE TABLE audit_log AS SELECT generate_series(1, 100) AS id;
CREATE TABLE empty (id int UNIQUE);
CREATE VIEW emails AS SELECT email FROM account;
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE mood AS ENUM ('good');
CREATE SCHEMA other;
CREATE TABLE part (id int) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
INSERT INTO part VALUES (1);
CREATE SEQUENCE counter;
CREATE POLICY mine ON account USING (true);
COMMENT ON TABLE account IS 'people';
CREATE TYPE place AS (town text);
CREATE TABLE shop AS SELECT ROW('x')::place AS at;
CREATE TABLE part_9 (id int);
"""
EVERYTHING = """
SELECT (SELECT count(*) FROM account), (SELECT count(email) FROM account),
       (SELECT count(*) FROM audit_log), (SELECT count(*) FROM part)
"""


def migration(up: str, down: str) -> str:
    """Return a file with both scripts."""
    return f"-- migrate:up\n{up}\n-- migrate:down\n{down}\n"


def names(report: Report) -> list[str]:
    """Return the undone migrations of a report."""
    return [entry.version or entry.name for entry in report.reverted]


@pytest.fixture
def full(project: Project) -> Project:
    """Give a database in use that Lockgate has migrated before."""
    project.database.run(BEFORE)
    project.write({"1_first.sql": migration("CREATE TABLE first ();", "DROP TABLE first;")})
    report = project.run()
    assert Status.APPLIED == report.status, report.error
    return project


def fail(project: Project, *pairs: tuple[str, str]) -> Report:
    """Run migrations, each with its up and down, followed by one that fails."""
    project.write(
        {f"{place}_step.sql": migration(*pair) for place, pair in enumerate(pairs, start=2)}
    )
    project.write({"99_bad.sql": BAD})
    report = project.run()
    assert Status.FAILED == report.status
    return report


UNDONE: dict[str, list[tuple[str, str]]] = {
    "table, column, index": [
        ("CREATE TABLE orders (id serial PRIMARY KEY, note text);", "DROP TABLE orders;"),
        ("ALTER TABLE account ADD COLUMN phone text;", "ALTER TABLE account DROP COLUMN phone;"),
        ("CREATE INDEX account_email ON account (email);", "DROP INDEX account_email;"),
    ],
    "rows in a table of the same migration": [
        ("CREATE TABLE kind (id int); INSERT INTO kind VALUES (1), (2);", "DROP TABLE kind;")
    ],
    "columns with a default": [
        (
            (
                "ALTER TABLE account ADD a int NOT NULL DEFAULT 7, ADD b bool DEFAULT true,"
                ' ADD c text[] DEFAULT \'{}\', ADD d jsonb DEFAULT \'{"a": "\\\\ \\""}\', ADD e char(4)'
                " DEFAULT 'x', ADD f point DEFAULT '(1,2)', ADD g text DEFAULT 'a\\b \"c\" {d}';"
            ),
            "ALTER TABLE account DROP a, DROP b, DROP c, DROP d, DROP e, DROP f, DROP g;",
        )
    ],
    "generated and indexed": [
        (
            "ALTER TABLE empty ADD n int REFERENCES account (id); CREATE INDEX ON empty (n);",
            "ALTER TABLE empty DROP n;",
        )
    ],
    "view, function, type, domain, sequence": [
        ("CREATE VIEW v AS SELECT id FROM account;", "DROP VIEW v;"),
        ("CREATE FUNCTION two() RETURNS int LANGUAGE sql AS 'SELECT 2';", "DROP FUNCTION two;"),
        ("CREATE TYPE colour AS ENUM ('red');", "DROP TYPE colour;"),
        ("CREATE DOMAIN age AS int CHECK (value > 0);", "DROP DOMAIN age;"),
        ("CREATE SEQUENCE numbers;", "DROP SEQUENCE numbers;"),
        ("CREATE MATERIALIZED VIEW mv AS SELECT 1 AS x;", "DROP MATERIALIZED VIEW mv;"),
    ],
    "trigger, policy, comment, grant": [
        (
            (
                "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
                " CREATE TRIGGER t BEFORE INSERT ON account FOR EACH ROW EXECUTE FUNCTION t();"
            ),
            "DROP TRIGGER t ON account; DROP FUNCTION t;",
        ),
        ("CREATE POLICY p ON account USING (false);", "DROP POLICY p ON account;"),
        ("COMMENT ON TABLE empty IS 'x';", "COMMENT ON TABLE empty IS NULL;"),
        ("GRANT SELECT ON empty TO PUBLIC;", "REVOKE SELECT ON empty FROM PUBLIC;"),
    ],
    "renamed there and back": [
        ("ALTER TABLE account RENAME TO people;", "ALTER TABLE people RENAME TO account;"),
        (
            "ALTER TABLE people RENAME COLUMN email TO mail;",
            "ALTER TABLE people RENAME COLUMN mail TO email;",
        ),
    ],
    "view replaced and put back": [
        (
            "CREATE OR REPLACE VIEW emails AS SELECT lower(email) AS email FROM account;",
            "CREATE OR REPLACE VIEW emails AS SELECT email FROM account;",
        )
    ],
    "function replaced and put back": [
        (
            "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2';",
            "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';",
        )
    ],
    "default set and put back": [
        (
            "ALTER TABLE account ALTER email SET DEFAULT 'x';",
            "ALTER TABLE account ALTER email DROP DEFAULT;",
        )
    ],
    "partitioned table with its partitions": [
        (
            (
                "CREATE TABLE log (id int) PARTITION BY RANGE (id);"
                " CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (9);"
            ),
            "DROP TABLE log;",
        )
    ],
    "identity column with rows": [
        (
            (
                "CREATE TABLE item (id int GENERATED ALWAYS AS IDENTITY, n text);"
                " INSERT INTO item (n) VALUES ('a'), ('b');"
            ),
            "DROP TABLE item;",
        )
    ],
    "schema with a table": [
        ("CREATE SCHEMA app; CREATE TABLE app.t (id int);", "DROP SCHEMA app CASCADE;")
    ],
    "table of one migration widened by the next": [
        ("CREATE TABLE t (id int);", "DROP TABLE t;"),
        ("ALTER TABLE t ADD x int; CREATE INDEX ON t (x);", "ALTER TABLE t DROP x;"),
    ],
}


@pytest.mark.parametrize("pairs", UNDONE.values(), ids=UNDONE.keys())
def test_failed_run_undoes_migrations_that_are_proved_safe(
    full: Project, pairs: list[tuple[str, str]]
) -> None:
    """A failed run undoes what it created if nothing else used it, and restores the same schema."""
    before, rows = full.database.dump(without=("lockgate",)), full.database.run(EVERYTHING)
    report = fail(full, *pairs)
    expected = [str(place) for place in range(len(pairs) + 1, 1, -1)]
    assert expected == names(report), report.error
    assert before == full.database.dump(without=("lockgate",))
    assert rows == full.database.run(EVERYTHING)
    assert [("1", "applied")] == full.history()
    assert full.lock_owner() is None


KEPT: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "IF NOT EXISTS over a full table": (
        "table public.audit_log would be gone.",
        [("CREATE TABLE IF NOT EXISTS audit_log (id int);", "DROP TABLE IF EXISTS audit_log;")],
    ),
    "IF NOT EXISTS over an empty table": (
        "table public.empty would be gone.",
        [("CREATE TABLE IF NOT EXISTS empty (id int);", "DROP TABLE IF EXISTS empty;")],
    ),
    "ADD COLUMN IF NOT EXISTS": (
        "table public.account would differ from before the run",
        [
            (
                "ALTER TABLE account ADD COLUMN IF NOT EXISTS email text;",
                "ALTER TABLE account DROP COLUMN email CASCADE;",
            )
        ],
    ),
    "INSERT that meets rows": (
        "table public.account was written to by migration 2.",
        [
            (
                "INSERT INTO account VALUES (1, 'x'), (99, 'y') ON CONFLICT DO NOTHING;",
                "DELETE FROM account WHERE id IN (1, 99);",
            )
        ],
    ),
    "UPDATE": (
        "table public.account was written to by migration 2.",
        [("UPDATE account SET email = 'x';", "SELECT one();")],
    ),
    "values moved to a new table": (
        "table public.account would differ from before the run",
        [
            (
                (
                    "CREATE TABLE mail AS SELECT id, email FROM account;"
                    " ALTER TABLE account DROP COLUMN email CASCADE;"
                ),
                "ALTER TABLE account ADD COLUMN email text; DROP TABLE mail;",
            )
        ],
    ),
    "table replaced by its copy": (
        "table public.audit_log would be gone.",
        [
            (
                (
                    "CREATE TABLE copy AS SELECT * FROM audit_log; DROP TABLE audit_log;"
                    " ALTER TABLE copy RENAME TO audit_log;"
                ),
                "DROP TABLE audit_log;",
            )
        ],
    ),
    "TRUNCATE": (
        "table public.audit_log would differ from before the run",
        [("TRUNCATE audit_log;", "SELECT one();")],
    ),
    "rewritten column": (
        "table public.account would differ from before the run",
        [
            (
                "ALTER TABLE account ALTER old_name TYPE int USING NULL;",
                "ALTER TABLE account ALTER old_name TYPE varchar(20);",
            )
        ],
    ),
    "down that does not undo": (
        "table public.orders would stay.",
        [("CREATE TABLE orders (id int);", "SELECT one();")],
    ),
    "down that drops more": (
        "view public.emails would be gone.",
        [("CREATE TABLE orders (id int);", "DROP TABLE orders; DROP VIEW emails;")],
    ),
    "down that deletes rows elsewhere": (
        "table public.audit_log would be written to by a down script.",
        [("CREATE TABLE orders (id int);", "DROP TABLE orders; DELETE FROM audit_log;")],
    ),
    "view that was there": (
        "view public.emails would be gone.",
        [
            (
                "CREATE OR REPLACE VIEW emails AS SELECT email FROM account;",
                "DROP VIEW emails;",
            )
        ],
    ),
    "function that was there": (
        "function public.one would be gone.",
        [
            (
                "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';",
                "DROP FUNCTION one;",
            )
        ],
    ),
    "function that was there and is other": (
        "function public.one would differ from before the run",
        [
            (
                "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2';",
                "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 3';",
            )
        ],
    ),
    "type that was there": (
        "type public.mood would be gone.",
        [
            (
                (
                    "DO $$ BEGIN CREATE TYPE mood AS ENUM ('good');"
                    " EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
                ),
                "DROP TYPE mood;",
            )
        ],
    ),
    "policy that was there": (
        "table public.account would differ from before the run",
        [
            (
                (
                    "DO $$ BEGIN CREATE POLICY mine ON account;"
                    " EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
                ),
                "DROP POLICY mine ON account;",
            )
        ],
    ),
    "schema that was there": (
        "schema other would be gone.",
        [("CREATE SCHEMA IF NOT EXISTS other;", "DROP SCHEMA other;")],
    ),
    "index dropped and made again": (
        "table public.empty would differ from before the run",
        [
            (
                "ALTER TABLE empty DROP CONSTRAINT empty_id_key;",
                "ALTER TABLE empty ADD UNIQUE (id);",
            )
        ],
    ),
    "comment": (
        "comment public.account would differ from before the run",
        [("COMMENT ON TABLE account IS 'x';", "COMMENT ON TABLE account IS 'y';")],
    ),
    "rows in a partition that was there": (
        "table public.part_1 was written to by migration 2.",
        [("INSERT INTO part VALUES (1);", "DELETE FROM part;")],
    ),
    "rows in a table of an earlier migration of the run": (
        "table public.t was written to by migration 3.",
        [
            ("CREATE TABLE t (id int);", "DROP TABLE t;"),
            ("INSERT INTO t VALUES (1);", "DELETE FROM t;"),
        ],
    ),
    "table of the run rewritten by the next": (
        "table public.t was rewritten or emptied after it was created.",
        [
            ("CREATE TABLE t (id int);", "DROP TABLE t;"),
            ("ALTER TABLE t ALTER id TYPE text;", "ALTER TABLE t ALTER id TYPE int USING id::int;"),
        ],
    ),
    "table of the run dropped by the next": (
        "table public.t no longer exists.",
        [
            ("CREATE TABLE t (id int);", "DROP TABLE t;"),
            ("DROP TABLE t;", "CREATE TABLE t (id int);"),
        ],
    ),
    "large object": (
        "table pg_catalog.pg_largeobject",
        [("SELECT lo_from_bytea(4711, 'x');", "SELECT lo_unlink(4711);")],
    ),
    "role": (
        "table pg_catalog.pg_authid was written to by migration 2.",
        [("CREATE ROLE {role};", "DROP ROLE {role};")],
    ),
    "setting of the database": (
        "table pg_catalog.pg_db_role_setting was written to by migration 2.",
        [
            (
                (
                    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''',"
                    " current_database()); END $$;"
                ),
                (
                    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET work_mem',"
                    " current_database()); END $$;"
                ),
            )
        ],
    ),
    "sequence that was there": (
        "migration 2 did what cannot be undone safely: sequence public.counter was used.",
        [("SELECT setval('counter', 1000);", "SELECT setval('counter', 1);")],
    ),
    "foreign table": (
        "migration 2 did what cannot be undone safely: foreign table public.far was used.",
        [
            (
                (
                    "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
                    " CREATE FOREIGN TABLE far (id int) SERVER s;"
                ),
                "DROP FOREIGN DATA WRAPPER w CASCADE;",
            )
        ],
    ),
    "counting switched off": (
        "migration 2 step ran with track_counts changed by the script.",
        [("SET LOCAL track_counts = off; DELETE FROM audit_log;", "SELECT one();")],
    ),
    "trigger that waits for the COMMIT": (
        "migration 2 did what cannot be undone safely: trigger late runs at COMMIT.",
        [
            (
                (
                    "CREATE TABLE t (id int);"
                    " CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS"
                    " 'BEGIN DELETE FROM public.audit_log; RETURN NULL; END';"
                    " CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
                    " FOR EACH ROW EXECUTE FUNCTION t(); INSERT INTO t VALUES (1);"
                ),
                "DROP TABLE t; DROP FUNCTION t;",
            )
        ],
    ),
    "table that was there made a partition": (
        "migration 2 did what cannot be undone safely: table public.part_9 was made a part of another.",
        [
            (
                "ALTER TABLE part ATTACH PARTITION part_9 FOR VALUES IN (9);",
                "ALTER TABLE part DETACH PARTITION part_9;",
            )
        ],
    ),
    "own transaction": (
        "migration 2 step is undone in a transaction of its own.",
        [("CREATE TABLE t ();", "BEGIN; DROP TABLE t; COMMIT;")],
    ),
    "own transaction of the up": (
        "migration 2 step ran in a transaction of its own.",
        [("BEGIN; CREATE TABLE t (); COMMIT;", "DROP TABLE t;")],
    ),
    "statement by statement": (
        "migration 2 step ran outside a transaction.",
        [("VACUUM audit_log;", "SELECT one();")],
    ),
}


@pytest.mark.parametrize(("reason", "pairs"), KEPT.values(), ids=KEPT.keys())
def test_failed_run_keeps_migrations_that_are_not_proved_safe(
    full: Project, reason: str, pairs: list[tuple[str, str]]
) -> None:
    """Without a proof nothing is undone; the message names the object, the hint the command."""
    role = f"role_{full.database.name}"
    pairs = [(up.replace("{role}", role), down.replace("{role}", role)) for up, down in pairs]
    try:
        report = fail(full, *pairs)
        assert [] == names(report)
        assert report.error is not None
        assert f"{UNPROVED}{reason}" in report.error.message
        assert f'lockgate down --steps {len(pairs)} --reason "…"' in (report.error.hint or "")
        assert 1 + len(pairs) == len(full.history())
        full.remove("99_bad.sql")
        assert Status.UP_TO_DATE == full.run().status
        assert full.lock_owner() is None
    finally:
        full.database.run(f"DROP ROLE IF EXISTS {role}")


# The application's changes between a migration and the failure.

ORDERS = ("CREATE TABLE orders (id int, note text);", "DROP TABLE orders CASCADE;")
PHONE = (
    "ALTER TABLE account ADD phone text DEFAULT '-';",
    "ALTER TABLE account DROP phone CASCADE;",
)
SCHEMA = ("CREATE SCHEMA app;", "DROP SCHEMA app CASCADE;")
PARTED = ("CREATE TABLE log (id int) PARTITION BY LIST (id);", "DROP TABLE log;")
MEANWHILE: dict[str, tuple[tuple[str, str], str, str]] = {
    "a row in a new table": (
        ORDERS,
        "INSERT INTO orders VALUES (1)",
        "table public.orders holds rows that others wrote.",
    ),
    "a row, emptied and filled": (
        ORDERS,
        "TRUNCATE orders; INSERT INTO orders VALUES (1)",
        "table public.orders was rewritten or emptied after it was created.",
    ),
    "a value in a new column": (
        PHONE,
        "UPDATE account SET phone = '1' WHERE id = 1",
        "column public.account.phone holds values that others wrote.",
    ),
    "a NULL in a new column": (
        PHONE,
        "UPDATE account SET phone = NULL WHERE id = 1",
        "column public.account.phone holds values that others wrote.",
    ),
    "a view on a new table": (
        ORDERS,
        "CREATE VIEW ids AS SELECT id FROM orders",
        "view public.ids was created or changed by another transaction.",
    ),
    "a view on a new column": (
        PHONE,
        "CREATE VIEW phones AS SELECT phone FROM account",
        "view public.phones was created or changed by another transaction.",
    ),
    "a column in a new table": (
        ORDERS,
        "ALTER TABLE orders ADD x int",
        "table public.orders was created or changed by another transaction.",
    ),
    "a table in a new schema": (
        SCHEMA,
        "CREATE TABLE app.t AS SELECT 1",
        "table app.t was created or changed by another transaction.",
    ),
    "a partition of a new table": (
        PARTED,
        "CREATE TABLE log_1 PARTITION OF log DEFAULT; INSERT INTO log VALUES (1)",
        "table public.log was created or changed by another transaction.",
    ),
    "a column of a new type": (
        ("CREATE TYPE colour AS ENUM ('red');", "DROP TYPE colour CASCADE;"),
        "ALTER TABLE account ADD c colour",
        "table public.account was created or changed by another transaction.",
    ),
    "a number of a new sequence": (
        ("CREATE SEQUENCE numbers;", "DROP SEQUENCE numbers;"),
        "SELECT nextval('numbers')",
        "sequence public.numbers was used by others.",
    ),
    "a value in a new attribute of a type": (
        (
            "ALTER TYPE place ADD ATTRIBUTE street text CASCADE;",
            "ALTER TYPE place DROP ATTRIBUTE street CASCADE;",
        ),
        "UPDATE shop SET at = ROW('x', 'y')::place",
        "type public.place has new attributes, whose values in tables are not searched.",
    ),
    "a grant on a new table": (
        ORDERS,
        "GRANT SELECT ON orders TO PUBLIC",
        "table public.orders was created or changed by another transaction.",
    ),
}


@pytest.mark.parametrize(("pair", "sql", "reason"), MEANWHILE.values(), ids=MEANWHILE.keys())
def test_failed_run_keeps_what_the_application_used_meanwhile(
    full: Project, pair: tuple[str, str], sql: str, reason: str
) -> None:
    """An object that the application used after the migration's commit is kept."""
    report = fail_with_meanwhile(full, [pair], lambda: full.database.run(sql))
    assert [] == names(report)
    assert report.error is not None
    assert f"{UNPROVED}{reason}" in report.error.message


def fail_with_meanwhile(
    project: Project, pairs: list[tuple[str, str]], act: Callable[[], object]
) -> Report:
    """Run migrations, then call ``act``, then let the run fail."""
    from tests.support.waiting import Background, is_asleep, wait_until

    project.write(
        {f"{place}_step.sql": migration(*pair) for place, pair in enumerate(pairs, start=2)}
    )
    project.write({"99_bad.sql": "SELECT pg_sleep(60);"})

    def disturb() -> None:
        wait_until(lambda: is_asleep(project.database), "the sleep of the last migration")
        act()
        project.database.run(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            " AND datname = current_database()"
        )

    disturbing = Background.start(disturb)
    report = project.run()
    disturbing.result()
    assert Status.FAILED == report.status
    return report


def test_failed_run_undoes_what_the_application_only_read(full: Project) -> None:
    """Rows that were only read or locked, or have only the default, do not prevent an undo."""
    before = full.database.dump(without=("lockgate",))

    def act() -> None:
        full.database.run("SELECT * FROM orders; SELECT * FROM account FOR UPDATE")
        full.database.run("INSERT INTO account (id) VALUES (1000)")
        for statement in ("ANALYZE", "VACUUM orders", "VACUUM FREEZE account"):
            full.database.run(statement)

    report = fail_with_meanwhile(full, [ORDERS, PHONE], act)
    assert ["3", "2"] == names(report), report.error
    assert before == full.database.dump(without=("lockgate",))
    assert [[51]] == full.database.run("SELECT count(*) FROM account")


def test_undo_that_waited_for_a_lock_sees_the_rows_written_meanwhile(full: Project) -> None:
    """The undo locks the tables before it checks them, so it finds an earlier writer's rows."""
    with full.database.connect() as connection:

        def act() -> None:
            connection.run("BEGIN")
            connection.run("INSERT INTO orders VALUES (1)")

        from threading import Timer

        timer = Timer(1.0, lambda: connection.run("COMMIT"))

        def act_and_commit_later() -> None:
            act()
            timer.start()

        report = fail_with_meanwhile(full, [ORDERS], act_and_commit_later)
        timer.join()
    assert [] == names(report)
    assert report.error is not None
    assert "table public.orders holds rows that others wrote." in report.error.message
    assert [[1]] == full.database.run("SELECT count(*) FROM orders")


def test_run_without_a_record_keeps_everything(full: Project) -> None:
    """A failed run keeps everything if a migration has no down script."""
    full.write({"2_a.sql": "CREATE TABLE a ();", "3_b.sql": migration(*ORDERS), "4_bad.sql": BAD})
    report = full.run()
    assert [] == names(report)
    assert report.error is not None
    assert "Cannot undo 2 a (it has no down script)." in report.error.message


def test_undo_in_a_schema_of_the_application_compares_the_rest(project: Project) -> None:
    """With Lockgate's tables in public, the other tables there are still compared."""
    project.database.run(f"{BEFORE} CREATE TABLE other.thing ()")
    project.settings["LOCKGATE_SCHEMA"] = "public"
    report = fail(
        project,
        ("CREATE TABLE orders (id int);", "DROP TABLE orders;"),
        ("CREATE TABLE IF NOT EXISTS audit_log ();", "DROP TABLE audit_log;"),
    )
    assert [] == names(report)
    assert [[100]] == project.database.run("SELECT count(*) FROM audit_log")
    assert report.error is not None
    assert f"{UNPROVED}table public.audit_log would be gone." in report.error.message, report.error


def test_run_whose_changed_rows_are_not_counted_keeps_everything(full: Project) -> None:
    """Without `track_counts`, a failed run keeps everything, because changed rows are not counted."""
    full.database.run(f"ALTER DATABASE {full.database.name} SET track_counts = off")
    report = fail(full, ORDERS)
    assert [] == names(report)
    assert report.error is not None
    assert "track_counts is off, so changed rows are not counted." in report.error.message


@pytest.mark.parametrize("down", ["DROP TABLE orders; SELECT purge();", "DROP TABLE orders;"])
def test_run_beside_a_function_that_stops_counting_keeps_everything(
    full: Project, down: str
) -> None:
    """A function that turns off counting prevents the undo, whoever calls it."""
    full.database.run(
        "CREATE FUNCTION purge() RETURNS void LANGUAGE sql SET track_counts = off"
        " AS 'DELETE FROM public.audit_log'"
    )
    report = fail(full, (ORDERS[0], down))
    assert [] == names(report)
    assert report.error is not None
    assert f"{UNPROVED}function public.purge() turns off" in report.error.message
    assert [[100]] == full.database.run("SELECT count(*) FROM audit_log")


@pytest.mark.parametrize("write", ["INSERT INTO audit_log VALUES (1)", "DELETE FROM empty"])
def test_undo_counts_no_rows_of_the_migration_that_failed(full: Project, write: str) -> None:
    """Rows counted for the failed migration, which was rolled back, do not prevent the undo."""
    full.database.run("INSERT INTO empty VALUES (1)")
    full.write(
        {"2_a.sql": migration(*ORDERS), "99_bad.sql": migration(f"{write}; {BAD}", "SELECT 1;")}
    )
    report = full.run()
    assert ["2"] == names(report), report.error


def test_run_that_alters_what_an_earlier_migration_filled_is_undone(full: Project) -> None:
    """Changes to a table that an earlier migration of the run filled can be undone."""
    report = fail(
        full,
        ("CREATE TABLE kind (id int); INSERT INTO kind VALUES (1);", "DROP TABLE kind;"),
        ("ALTER TABLE kind ADD name text;", "ALTER TABLE kind DROP name;"),
        ("CREATE INDEX ON kind (id);", "DROP INDEX kind_id_idx;"),
    )
    assert ["4", "3", "2"] == names(report), report.error


# An older package and a newer package's work.


def release(project: Project, *pairs: tuple[str, str]) -> None:
    """Apply migrations as a newer package does, then delete their files."""
    project.settings["LOCKGATE_ROLLBACK"] = "deploy"
    assert project.run().is_success
    files = {f"{place}_step.sql": migration(*pair) for place, pair in enumerate(pairs, start=2)}
    project.write(files)
    report = project.run()
    assert Status.APPLIED == report.status, report.error
    for name in files:
        project.remove(name)


@pytest.mark.parametrize("pairs", UNDONE.values(), ids=UNDONE.keys())
def test_older_package_undoes_migrations_that_are_proved_safe(
    full: Project, pairs: list[tuple[str, str]]
) -> None:
    """An older package undoes a newer one by the record of its run, with the same proof."""
    before, rows = full.database.dump(without=("lockgate",)), full.database.run(EVERYTHING)
    release(full, *pairs)
    report = full.run()
    assert Status.ROLLED_BACK == report.status, report.warnings
    assert before == full.database.dump(without=("lockgate",))
    assert rows == full.database.run(EVERYTHING)


@pytest.mark.parametrize(
    "case", ["UPDATE", "IF NOT EXISTS over a full table", "down that drops more"]
)
def test_older_package_keeps_migrations_that_are_not_proved_safe(full: Project, case: str) -> None:
    """Without a proof, the database stays ahead, and the run succeeds with a warning."""
    reason, pairs = KEPT[case]
    release(full, *pairs)
    report = full.run()
    assert Status.UP_TO_DATE == report.status
    assert f"{UNPROVED}{reason}" in report.warnings[0]


def test_older_package_keeps_rows_that_came_since(full: Project) -> None:
    """Rows that the application wrote after the newer release are not dropped."""
    release(full, ORDERS)
    full.database.run("INSERT INTO orders VALUES (1)")
    report = full.run(LOCKGATE_ALLOW_DATA_LOSS="true")
    assert Status.UP_TO_DATE == report.status
    assert "table public.orders holds rows that others wrote." in report.warnings[0]


def test_older_package_undoes_two_releases(full: Project) -> None:
    """The work of two newer runs is undone together, by both records."""
    before = full.database.dump(without=("lockgate",))
    full.settings["LOCKGATE_ROLLBACK"] = "deploy"
    full.write({"2_a.sql": migration(*ORDERS)})
    full.run()
    full.write({"3_b.sql": migration(*PHONE)})
    full.run()
    full.remove("2_a.sql")
    full.remove("3_b.sql")
    report = full.run()
    assert ["3", "2"] == names(report), report.warnings
    assert before == full.database.dump(without=("lockgate",))


def test_older_package_keeps_what_has_no_record(full: Project) -> None:
    """A run that kept no record of its changes is not undone."""
    full.write({"2_a.sql": migration(*ORDERS)})
    full.run()
    full.remove("2_a.sql")
    report = full.run(LOCKGATE_ROLLBACK="deploy")
    assert Status.UP_TO_DATE == report.status
    assert "migration 2 a ran without a record of what it changed." in report.warnings[0]


def test_release_that_was_cut_off_and_finished_is_undone_by_both_records(full: Project) -> None:
    """A release that was interrupted and finished is undone by the records of both runs."""
    from lockgate.core.deadline import Deadline

    before = full.database.dump(without=("lockgate",))
    full.settings["LOCKGATE_ROLLBACK"] = "deploy"
    assert full.run().is_success
    deadline = Deadline(None, 0)
    full.write(
        {
            "2_a.sql": migration(*ORDERS),
            "3_b.sql": migration("SELECT pg_sleep(60);", "SELECT one();"),
        }
    )

    from tests.support.waiting import Background, is_asleep, wait_until

    def stop() -> None:
        wait_until(lambda: is_asleep(full.database), "the sleep of the second migration")
        deadline.interrupt("the test")

    stopping = Background.start(stop)
    assert Status.INCOMPLETE == full.run(deadline=deadline).status
    stopping.result()
    full.write({"3_b.sql": migration(*PHONE)})
    assert Status.APPLIED == full.run().status
    full.remove("2_a.sql")
    full.remove("3_b.sql")
    report = full.run()
    assert ["3", "2"] == names(report), report.warnings
    assert before == full.database.dump(without=("lockgate",))


# Formats whose migrations are never undone automatically, and why.
NEVER_UNDONE = {
    "alembic": "migration 1 is undone by Python",
    "graphile-migrate": "(it has no down script)",
    "postgres-migrations": "(it has no down script)",
    "prisma": "(it has no down script)",
}


@pytest.mark.parametrize("tool", list_formats())
def test_proof_decides_in_every_format(project: Project, tool: str) -> None:
    """In every format, an undo drops a table only if the run created it."""
    project.database.run(BEFORE)
    before = project.database.dump(without=("lockgate",))
    project.settings |= {"LOCKGATE_FORMAT": tool, "LOCKGATE_FIRST_RUN": "allow"}
    tables = ["audit_log"] if tool in NEVER_UNDONE else ["orders", "audit_log"]
    for table in tables:
        up = f"CREATE TABLE IF NOT EXISTS {table} (id int);\n"
        project.write(lay_out(tool, Step(up, f"DROP TABLE {table};\n"), Step(f"{BAD}\n")))
        report = project.run()
        assert report.error is not None
        is_undone = table == "orders"
        assert (Status.FAILED, is_undone) == (report.status, bool(report.reverted)), report.error
        assert before == project.database.dump(without=("lockgate",))
    assert report.error is not None
    why = NEVER_UNDONE.get(tool, "table public.audit_log would be gone.")
    assert why in report.error.message
    assert [[100]] == project.database.run("SELECT count(*) FROM audit_log")
    has_downs = why != "(it has no down script)"
    assert has_downs is ("lockgate down" in (report.error.hint or ""))
    assert "add the missing down script" not in (report.error.hint or "")


def test_refused_undo_names_the_version_of_a_list(project: Project) -> None:
    """The command in the hint has the version, although it is not a number."""
    project.write({"1_a b.up.sql": "SELECT 1;\n", "2_b.up.sql": f"{BAD}\n"})
    report = project.run(LOCKGATE_FORMAT="knex", LOCKGATE_ATOMICITY="migration")
    assert report.error is not None
    assert "lockgate repair --accept '1_a b' --reason" in (report.error.hint or "")


@pytest.mark.parametrize("word", ["", "TEMPORARY"])
def test_table_that_a_down_creates_and_drops_is_not_blamed_on_others(
    full: Project, word: str
) -> None:
    """A table that a down script creates and drops prevents the undo, without blaming other sessions."""
    down = f"CREATE {word} TABLE scratch (id int); DROP TABLE scratch; DROP TABLE made;"
    report = fail(full, ("CREATE TABLE made (id int);", down))
    assert [] == names(report)
    assert report.error is not None
    expected = f"{UNPROVED}a down script drops a table that did not exist when the undo began."
    assert expected in report.error.message
