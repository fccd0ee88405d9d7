"""A role that can create objects in the database, or owns what Lockgate reads, gains nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.engine import act_before_install, act_before_lock

from lockgate.core.request import Action, Caller, Request
from lockgate.errors import SettingInvalid
from lockgate.report.report import Report, Status
from lockgate.settings import read_settings
from lockgate.terminal.report import describe_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database
    from tests.support.project import Project

PACKAGE = Path(__file__).parents[1] / "handler/lockgate"
SOURCES = (PACKAGE / "postgres", PACKAGE / "formats")
TYPES = (
    *("name", "text", "varchar", "int4", "int8", "float8", "numeric", "oid", "regclass"),
    *('"char"', "timestamptz", "interval", "bool"),
)
COMPARISONS = ("=", "<>", "<", ">", "<=", ">=", "~", "!~", "~~")
CALCULATIONS = ("*", "/", "+", "-", "||")
# After pg_catalog, where only a better match is chosen; and before it, where any match is.
PATHS = ('"$user", public', "public, pg_catalog")


def make_trap(name: str, arguments: str, result: str) -> str:
    """Return the definition of a function that raises when called."""
    body = f"$t$BEGIN RAISE EXCEPTION 'trapped in {name}({arguments})'; END$t$"
    head = f'CREATE FUNCTION public."{name}"({arguments}) RETURNS {result}'
    return f"{head} LANGUAGE plpgsql AS {body}"


def list_operator_traps() -> Iterator[str]:
    """Yield an operator for every pair of types that Lockgate's SQL may use."""
    for left in TYPES:
        for right in TYPES:
            one, other = f"pg_catalog.{left}", f"pg_catalog.{right}"
            for kind, signs in (("bool", COMPARISONS), (left, CALCULATIONS)):
                name = f"trap_{signs[0]}"
                yield make_trap(name, f"{one}, {other}", f"pg_catalog.{kind}")
                for sign in signs:
                    yield (
                        f'CREATE OPERATOR public.{sign} (FUNCTION = public."{name}",'
                        f" LEFTARG = {one}, RIGHTARG = {other})"
                    )


def list_function_traps(database: Database) -> Iterator[str]:
    """Yield a function for every function of PostgreSQL that Lockgate's sources may call."""
    paths = [path for folder in SOURCES for path in folder.rglob("*.py")]
    text = "".join(path.read_text("utf-8") for path in paths)
    names = sorted(set(re.findall(r"\b([a-z][a-z0-9_]+)\(", text)))
    rows = database.run(
        "SELECT proname, pg_get_function_identity_arguments(oid), prorettype::regtype::text"
        " FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY (:names)"
        " AND prokind IN ('f', 'a') AND NOT proretset AND provariadic = 0"
        " AND NOT EXISTS (SELECT FROM unnest(proargtypes || prorettype) AS t (id)"
        " JOIN pg_type ON pg_type.oid = t.id WHERE typtype = 'p')"
        " AND proargmodes IS NULL ORDER BY 1, 2",
        names=names,
    )
    assert len(rows) > 50
    yield from (make_trap(*row) for row in rows)
    # These match the argument types more closely than PostgreSQL's own functions.
    yield make_trap("format", "text, pg_catalog.name, pg_catalog.name", "text")
    yield make_trap("length", "varchar", "integer")
    yield make_trap("coalesce", "text, text", "text")


def list_type_traps() -> Iterator[str]:
    """Yield a domain with the name of each type, whose check accepts no value."""
    for name in TYPES:
        yield f"CREATE DOMAIN public.{name} AS pg_catalog.{name} CHECK (VALUE IS NULL)"
    for name in ("pg_class", "pg_stat_activity", "pg_namespace", "migration_lock"):
        yield f"CREATE TABLE public.{name} ()"


@pytest.fixture(params=PATHS)
def trapped(project: Project, request: pytest.FixtureRequest) -> Project:
    """Give a project whose database has a trap for every unqualified name."""
    database = project.database
    traps = [*list_operator_traps(), *list_function_traps(database), *list_type_traps()]
    database.run(";\n".join(traps))
    database.run(f'ALTER DATABASE "{database.name}" SET search_path = {request.param}')
    return project


def test_traps_spring(trapped: Project) -> None:
    """The traps work: an unqualified operator calls one."""
    with pytest.raises(Exception, match="trapped in trap_="):
        trapped.database.run("SELECT 'a'::pg_catalog.name = 1::pg_catalog.int4")


def test_hostile_path_changes_nothing_of_a_project_s_life(trapped: Project) -> None:
    """Lockgate's statements use no operator, function, type or table of another user."""
    trapped.write(
        {
            "1_t.sql": "CREATE TABLE public.t (i integer); INSERT INTO public.t VALUES (1), (1);",
            "2_py.py": "def up(connection):\n    connection.exec_driver_sql('SELECT 1')\n",
        }
    )
    assert None is trapped.run(LOCKGATE_ATOMICITY="run").error
    trapped.write({"3_index.sql": "CREATE UNIQUE INDEX CONCURRENTLY i ON public.t (i);"})
    assert "23505" == read_sqlstate(trapped.run())
    trapped.database.run("TRUNCATE public.t")
    report = trapped.run()
    assert (None, ["3"]) == (report.error, [entry.version for entry in report.applied])
    trapped.write({"4_again.sql": "CREATE TABLE public.t ();"})
    assert "42P07" == read_sqlstate(trapped.run())
    for action in (Action.STATUS, Action.PLAN, Action.VALIDATE):
        expected = "42P07" if action is Action.UP else None
        assert (action, expected) == (action, read_sqlstate(trapped.run(action)))


def test_hostile_path_does_not_reach_into_going_down(trapped: Project) -> None:
    """The search for lost rows calls no trap and still finds the rows."""
    script = (
        "-- migrate:up\nCREATE TABLE public.t (i integer);\n-- migrate:down\nDROP TABLE public.t;"
    )
    trapped.write({"1_t.sql": script})
    trapped.run()
    trapped.database.run("INSERT INTO public.t VALUES (1)")
    report = trapped.do(Action.DOWN, steps=1, reason="test", requested_by="ada")
    assert "data-loss-refused" == (report.error and report.error.code)
    trapped.database.run("TRUNCATE public.t")
    assert None is trapped.do(Action.DOWN, steps=1, reason="test", requested_by="ada").error


def test_hostile_path_does_not_hide_the_values_of_a_column(project: Project) -> None:
    """Another user's equality operator does not make a column look empty."""
    script = (
        "-- migrate:up\nCREATE TABLE public.t (i integer, j integer);\n"
        "-- migrate:down\nALTER TABLE public.t DROP COLUMN j;"
    )
    project.write({"1_t.sql": script})
    project.run()
    project.database.run(
        "INSERT INTO public.t VALUES (1, 2);"
        "CREATE FUNCTION public.never(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT false';"
        "CREATE OPERATOR public.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = public.never);"
        f'ALTER DATABASE "{project.database.name}" SET search_path = public, pg_catalog'
    )
    report = project.do(Action.DOWN, steps=1, reason="test", requested_by="ada")
    assert "data-loss-refused" == (report.error and report.error.code)


@pytest.mark.parametrize(
    ("tool", "table"),
    [
        ("dbmate", "schema_migrations (version varchar(128) PRIMARY KEY)"),
        ("rails", "schema_migrations (version varchar NOT NULL PRIMARY KEY)"),
    ],
)
def test_hostile_path_does_not_reach_into_adopting(trapped: Project, tool: str, table: str) -> None:
    """Reading another tool's table calls no trap."""
    trapped.write({"1_t.sql": "CREATE TABLE public.t (i integer);"})
    trapped.database.run(f"CREATE TABLE public.{table}")
    if tool == "rails":
        trapped.database.run("CREATE TABLE public.ar_internal_metadata (key varchar)")
    trapped.database.run("INSERT INTO public.schema_migrations VALUES ('1')")
    report = trapped.do(Action.ADOPT, source=tool, dry_run=True, reason="test", requested_by="ada")
    assert (None, Status.PLANNED) == (report.error, report.status)


def test_hostile_path_hides_no_holder_and_no_blocker(trapped: Project) -> None:
    """With traps, a dead holder is replaced, a lock broken, and a blocking session reported as usual."""
    trapped.write({"1_t.sql": "CREATE TABLE public.t (i integer);"})
    trapped.run()
    trapped.database.run(
        "UPDATE lockgate.migration_lock SET owner = 'gone', caller = 'test', backend_pid = 1,"
        " backend_start = pg_catalog.now(), taken_at = pg_catalog.now(),"
        " expires_at = pg_catalog.now()"
    )
    request = Request(Action.UNLOCK, CALLER, reason="gone", requested_by="ada")
    assert Status.APPLIED == trapped.runner().run(request).status
    other = trapped.database.connect()
    other.run("BEGIN")
    other.run("LOCK TABLE public.t IN SHARE MODE")
    trapped.write({"2_wait.sql": "INSERT INTO public.t VALUES (1);"})
    report = trapped.run(LOCKGATE_LOCK_TIMEOUT="2s", LOCKGATE_LOCK_RETRIES="0")
    assert "55P03" == read_sqlstate(report)
    assert report.error is not None
    assert [trapped.database.user] == [blocker.user for blocker in report.error.blockers]


CALLER = Caller("test")


def read_sqlstate(report: Report) -> str | None:
    """Return the SQLSTATE of a report's error."""
    return None if report.error is None else report.error.sqlstate


# Tables of other users.


@pytest.fixture
def stranger(database: Database) -> Iterator[str]:
    """Give a role that may only create schemas in the database."""
    name = f"stranger_{database.name}"
    database.run(
        f"CREATE ROLE {name} LOGIN PASSWORD 'x'; CREATE ROLE app_{name} PASSWORD 'x' LOGIN"
    )
    database.run(f'GRANT CREATE ON DATABASE "{database.name}" TO {name}, app_{name}')
    yield name
    database.run(f"DROP OWNED BY {name}, app_{name}; DROP ROLE {name}, app_{name}")


def as_role(project: Project, role: str) -> str:
    """Return the URL with which a role signs in."""
    database = project.database
    return f"postgresql://{role}:x@{database.host}:{database.port}/{database.name}"


@pytest.mark.parametrize("kind", ["view", "table"])
def test_tables_prepared_by_another_user_are_not_touched(
    project: Project, stranger: str, kind: str
) -> None:
    """Tables prepared by another role are refused: its code could run with this role's rights."""
    opened = project.database.connect(user=stranger, password="x")
    opened.run("CREATE SCHEMA lockgate")
    opened.run("GRANT ALL ON SCHEMA lockgate TO PUBLIC")
    opened.run("CREATE TABLE lockgate.loot (who text)")
    opened.run(
        "CREATE FUNCTION lockgate.steal() RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO lockgate.loot VALUES (current_user); RETURN 'x'; END $$"
    )
    if kind == "view":
        opened.run("CREATE VIEW lockgate.migration_history AS SELECT lockgate.steal() AS state")
    else:
        opened.run("CREATE TABLE lockgate.migration_history (state text)")
    opened.run("GRANT ALL ON ALL TABLES IN SCHEMA lockgate TO PUBLIC")
    project.write({"1_t.sql": "CREATE TABLE t (i integer);"})
    expected = (
        f"Schema lockgate belongs to role {stranger}, which this role is not a member of."
        " Nothing was changed."
    )
    for action in (Action.UP, Action.STATUS):
        report = project.run(action, LOCKGATE_DATABASE_URL=as_role(project, f"app_{stranger}"))
        assert report.error is not None
        assert (Status.REFUSED, expected) == (report.status, report.error.message)
    assert [] == project.database.run("SELECT who FROM lockgate.loot")


def test_tables_of_a_role_that_one_is_a_member_of_are_ones_own(
    project: Project, stranger: str
) -> None:
    """Tables owned by a role of which the user is a member are accepted, as with alternating users."""
    project.write({"1_t.sql": "CREATE TABLE t (i integer);"})
    project.database.run(f"GRANT ALL ON SCHEMA public TO {stranger}, app_{stranger}")
    first = project.run(LOCKGATE_DATABASE_URL=as_role(project, stranger))
    assert (None, Status.APPLIED) == (first.error, first.status)
    project.database.run(f"GRANT {stranger} TO app_{stranger}")
    project.write({"2_u.sql": "CREATE TABLE u (i integer);"})
    second = project.run(LOCKGATE_DATABASE_URL=as_role(project, f"app_{stranger}"))
    assert (None, Status.APPLIED) == (second.error, second.status)


def test_empty_schema_of_another_user_is_refused(project: Project, stranger: str) -> None:
    """An empty schema owned by another role is refused, since its owner could replace tables in it."""
    opened = project.database.connect(user=stranger, password="x")
    opened.run("CREATE SCHEMA lockgate")
    opened.run("GRANT ALL ON SCHEMA lockgate TO PUBLIC")
    project.write({"1_t.sql": "SELECT 1;"})
    for action in (Action.UP, Action.STATUS, Action.PLAN):
        report = project.run(action, LOCKGATE_DATABASE_URL=as_role(project, f"app_{stranger}"))
        assert report.error is not None
        expected = (
            f"Schema lockgate belongs to role {stranger}, which this role is not a member of."
        )
        assert report.error.message.startswith(expected)
    assert [[0]] == project.database.run(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'lockgate'::regnamespace"
    )


@pytest.mark.parametrize("owner", ["superuser", "owner of the database", "public"])
def test_schema_of_a_trusted_role_is_used(project: Project, stranger: str, owner: str) -> None:
    """A schema owned by a superuser or the database's owner is used, as they can do anything anyway."""
    database = project.database
    schema = "public" if owner == "public" else "lockgate"
    if owner == "owner of the database":
        database.run(f'ALTER DATABASE "{database.name}" OWNER TO {stranger}')
        database.run(f"CREATE SCHEMA lockgate AUTHORIZATION {stranger}")
    elif owner == "superuser":
        database.run("CREATE SCHEMA lockgate")
    database.run(f"GRANT ALL ON SCHEMA {schema} TO app_{stranger}")
    project.write({"1_t.sql": "SELECT 1;"})
    url = as_role(project, f"app_{stranger}")
    report = project.run(LOCKGATE_DATABASE_URL=url, LOCKGATE_SCHEMA=schema)
    assert (None, Status.APPLIED) == (report.error, report.status)
    database.run(f'ALTER DATABASE "{database.name}" OWNER TO {database.user}')


TAKEN_OVER = {
    "schema": "ALTER SCHEMA lockgate OWNER TO {stranger}",
    "table": "ALTER TABLE lockgate.migration_history OWNER TO {stranger}",
    "other table": "CREATE TABLE lockgate.new (LIKE lockgate.migration_history INCLUDING ALL);"
    " DROP TABLE lockgate.migration_history CASCADE;"
    " ALTER TABLE lockgate.new RENAME TO migration_history;"
    " ALTER TABLE lockgate.migration_history OWNER TO {stranger};"
    " GRANT ALL ON lockgate.migration_history TO PUBLIC",
    "trigger": "CREATE TABLE public.loot (who text); GRANT ALL ON public.loot TO PUBLIC;"
    " CREATE FUNCTION public.steal() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN INSERT INTO public.loot VALUES (current_user); RETURN new; END $$;"
    " ALTER FUNCTION public.steal() OWNER TO {stranger};"
    " CREATE TRIGGER steal BEFORE INSERT ON lockgate.migration_history"
    " FOR EACH STATEMENT EXECUTE FUNCTION public.steal()",
}


@pytest.mark.parametrize("atomicity", ["migration", "run"])
@pytest.mark.parametrize("kind", TAKEN_OVER)
def test_tables_taken_over_by_another_user_during_a_run_are_not_written(
    project: Project, stranger: str, kind: str, atomicity: str
) -> None:
    """Ownership is checked again before each row, so another role's code never runs as this role."""
    database = project.database
    take_over = TAKEN_OVER[kind].format(stranger=stranger)
    database.run(f"GRANT ALL ON SCHEMA public TO {stranger}, app_{stranger}")
    url = as_role(project, f"app_{stranger}")
    project.write({"1_a.sql": "SELECT 1;"})
    assert None is project.run(LOCKGATE_DATABASE_URL=url).error
    project.write(
        {
            "2_b.py": "import pg8000.native\ndef up(connection):\n"
            "    connection.exec_driver_sql('CREATE TABLE public.b ()')\n"
            f"    other = pg8000.native.Connection({database.user!r}, host={database.host!r},"
            f" port={database.port}, password={database.password!r}, database={database.name!r})\n"
            f"    other.run({take_over!r})\n    other.close()\n",
            "3_c.sql": "CREATE TABLE public.c ();",
        }
    )
    during = project.run(LOCKGATE_DATABASE_URL=url, LOCKGATE_ATOMICITY=atomicity)
    after = project.run(LOCKGATE_DATABASE_URL=url)
    assert during.error is not None
    assert after.error is not None
    assert "which this role is not a member of" in during.error.message
    assert stranger in after.error.message
    assert [[None, None]] == database.run(
        "SELECT to_regclass('public.b')::text, to_regclass('public.c')::text"
    )
    if kind == "trigger":
        assert [] == database.run("SELECT * FROM public.loot")


LOCK_TAKEN_OVER = {
    **TAKEN_OVER,
    "lock table": "ALTER TABLE lockgate.migration_lock OWNER TO {stranger}",
    **{
        f"trigger on {table}": TAKEN_OVER["trigger"]
        .replace("lockgate.migration_history", f"lockgate.{table}")
        .replace("BEFORE INSERT", "BEFORE INSERT OR UPDATE")
        for table in ("migration_lock", "migration_run")
    },
}


@pytest.mark.parametrize("kind", LOCK_TAKEN_OVER)
def test_tables_that_a_stranger_takes_over_before_the_lock_are_not_written(
    project: Project, stranger: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first look accepted is checked again with the lock, before anything runs."""
    database = project.database
    database.run(f"GRANT ALL ON SCHEMA public TO {stranger}, app_{stranger}")
    url = as_role(project, f"app_{stranger}")
    project.write({"1_a.sql": "SELECT 1;"})
    assert None is project.run(LOCKGATE_DATABASE_URL=url).error
    project.write({"2_b.sql": "CREATE TABLE public.b ();"})
    take_over = LOCK_TAKEN_OVER[kind].format(stranger=stranger)
    act_before_lock(monkeypatch, lambda: database.run(take_over), is_once=True)
    report = project.run(LOCKGATE_DATABASE_URL=url)
    assert report.error is not None
    assert "which this role is not a member of" in report.error.message
    assert [[None]] == database.run("SELECT to_regclass('public.b')::text")
    if "trigger" in kind:
        assert [] == database.run("SELECT * FROM public.loot")


def test_schema_that_a_stranger_makes_before_the_lock_is_not_used(
    project: Project, stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A schema that appears after the first look is refused if another role made it."""
    opened = project.database.connect(user=stranger, password="x")
    project.database.run(f"GRANT ALL ON SCHEMA public TO app_{stranger}")
    project.write({"1_b.sql": "CREATE TABLE public.b ();"})

    def make_schema() -> None:
        opened.run("CREATE SCHEMA lockgate")
        opened.run("GRANT ALL ON SCHEMA lockgate TO PUBLIC")

    act_before_install(monkeypatch, make_schema)
    report = project.run(LOCKGATE_DATABASE_URL=as_role(project, f"app_{stranger}"))
    assert report.error is not None
    assert "which this role is not a member of" in report.error.message
    assert [[None]] == project.database.run("SELECT to_regclass('public.b')::text")
    assert [[0]] == project.database.run(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'lockgate'::regnamespace"
    )


def test_another_user_cannot_put_a_trigger_on_our_tables(project: Project, stranger: str) -> None:
    """Another role cannot create a trigger on Lockgate's tables."""
    project.write({"1_t.sql": "CREATE TABLE t (i integer);"})
    project.run()
    opened = project.database.connect(user=stranger, password="x")
    opened.run("CREATE SCHEMA own")
    opened.run(
        "CREATE FUNCTION own.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$"
    )
    with pytest.raises(Exception, match="permission denied for schema lockgate"):
        opened.run(
            "CREATE TRIGGER t BEFORE INSERT ON lockgate.migration_history"
            " FOR EACH ROW EXECUTE FUNCTION own.f()"
        )


@pytest.mark.parametrize("table", ["migration_history", "migration_run", "migration_lock"])
def test_trigger_on_our_tables_ends_the_run_and_is_not_quoted(project: Project, table: str) -> None:
    """A trigger that raises row data fails the run, is rolled back, and is not quoted in the report."""
    project.write({"1_t.sql": "CREATE TABLE account (secret text);"})
    project.run()
    project.database.run(
        "INSERT INTO account VALUES ('SENTINEL');"
        "CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE WARNING 'warned of %', (SELECT secret FROM public.account);"
        " RAISE EXCEPTION 'found %', (SELECT secret FROM public.account)"
        " USING HINT = (SELECT secret FROM public.account);"
        " END $$;"
        f"CREATE TRIGGER spy BEFORE INSERT OR UPDATE ON lockgate.{table}"
        " FOR EACH ROW EXECUTE FUNCTION spy()"
    )
    project.write({"2_u.sql": "CREATE TABLE u (i integer);"})
    before = project.database.dump()
    report = project.run()
    assert not report.is_success
    assert "P0001" in str(report.error)
    assert "SENTINEL" not in report.to_text() + str(project.events)
    assert before == project.database.dump()
    assert [("1", "applied")] == project.history()


# Hostile names.

HOSTILE = (
    "x'); DROP TABLE account; --",
    'x"; DROP TABLE account; --',
    "x\\'; DROP TABLE account; --",
    "$$; DROP TABLE account; $$",
    "%s %(a)s {x} {{y}} :a $1 ${HOME}",
    "x*\\ -- DROP TABLE account;",
    "x' at=9 token=7",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_name_is_only_a_name(project: Project, name: str) -> None:
    """A hostile file name is recorded unchanged and cannot escape into SQL, session name or screen."""
    body = "CREATE TABLE public.made ();"
    project.write({"1_account.sql": "CREATE TABLE public.account (i integer);"})
    project.write({f"2_{name}.sql": body, f"R__{name}.sql": "SELECT 1;"})
    project.write({f"3_{name}.sql": "CREATE INDEX CONCURRENTLY i ON public.account (i);"})
    project.write({f"4_{name}.py": "def up(connection):\n    pass\n"})
    report = project.run()
    assert (None, Status.APPLIED) == (report.error, report.status)
    rows = project.database.run(
        "SELECT name FROM lockgate.migration_history WHERE migration_id <> '1' ORDER BY token,"
        " applied_at"
    )
    assert [[name]] * 4 == rows
    assert [[True]] == project.database.run("SELECT to_regclass('account') IS NOT NULL")
    shown = "".join(span.text for line in describe_report(report.to_json(), 80) for span in line)
    assert not {"\x1b", "\x07", "\r", "\n"} & set(shown)


@pytest.mark.parametrize("setting", ["LOCKGATE_SCHEMA", "LOCKGATE_SET_ROLE"])
@pytest.mark.parametrize("value", [*HOSTILE, "a.b", "a b", "é", "x" * 64])
def test_hostile_identifier_in_a_setting_is_refused_at_the_door(setting: str, value: str) -> None:
    """An identifier that is not a plain name is refused before connecting."""
    with pytest.raises(SettingInvalid):
        read_settings({setting: value})
