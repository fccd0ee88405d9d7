"""A mixed set of migrations, the database's state after it, and disturbed runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.proxy import Moment
from tests.support.waiting import LONGEST_SECONDS

from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project
    from tests.support.proxy import Proxy

    from lockgate.core.deadline import Deadline
    from lockgate.report.report import Report

# Interval between the messages at which a fault strikes, before and after one. Killed processes and
# runs that continue without an answer are tested twice as often. CI uses 2 on one major version.
FAULT_STRIDE = int(os.environ.get("LOCKGATE_TEST_FAULT_STRIDE", "4"))
# The same for slow tests, which wait for a server that does not return or compare dumps: they take
# seconds per message.
SLOW_STRIDE = 1 if FAULT_STRIDE == 1 else 16 * FAULT_STRIDE


def choose_points(
    messages: int, moment: Moment, fault: int = 0, stride: int = FAULT_STRIDE
) -> range:
    """Return the messages at which a fault strikes; numbered faults share them.

    The state after one message is the state before the next: if only the server survives, the two
    moments share the possible states.
    """
    place = fault + (stride // 2 - 1 if moment is Moment.AFTER else 0)
    return range(1 + place % stride, messages + 1, stride)


# One of each kind. `effect` counts executions: a second or a missing one would be visible.
MIGRATIONS = {
    "01_tables.sql": """-- migrate:up
CREATE TABLE effect (what text, at int);
CREATE TABLE account (id int PRIMARY KEY, email text, grp int);
INSERT INTO account SELECT i, 'a' || i, i % 7 FROM generate_series(1, 500) AS i;
INSERT INTO effect VALUES ('tables', 1);
-- migrate:down
DROP TABLE account, effect;
""",
    "02_index.sql": "CREATE INDEX CONCURRENTLY account_email ON account (email);",
    "03_fill.py": """import sqlalchemy as sa

def up(connection):
    connection.execute(sa.text("INSERT INTO effect VALUES (:what, :at)"), {"what": "py", "at": 3})
    with connection.begin_nested():
        connection.exec_driver_sql("UPDATE account SET grp = grp + 1")
""",
    "04_steps.sql": """-- migrate:up transaction:false
SET statement_timeout = '1min';
INSERT INTO effect VALUES ('steps', 4);
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS account_grp_id ON account (grp, id);
BEGIN;
INSERT INTO effect VALUES ('block', 4);
UPDATE account SET grp = grp + 1;
COMMIT;
DROP INDEX CONCURRENTLY account_email;
REINDEX INDEX CONCURRENTLY account_grp_id;
VACUUM account;
UPDATE account SET grp = grp + 1;
""",
    "05_own.sql": (
        "BEGIN;\nINSERT INTO effect VALUES ('own', 5);\nALTER TABLE account ADD x int;\nCOMMIT;\n"
    ),
    "06_type.sql": "CREATE TYPE mood AS ENUM ('good'); INSERT INTO effect VALUES ('type', 6);",
    "07_value.sql": "ALTER TYPE mood ADD VALUE 'bad';",
    "08_use.sql": "ALTER TABLE account ADD mood mood NOT NULL DEFAULT 'bad';",
    "09_parts.sql": (
        "CREATE TABLE part (id int) PARTITION BY RANGE (id);"
        " CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (100);"
        " INSERT INTO part VALUES (7);"
    ),
    "10_detach.sql": "ALTER TABLE part DETACH PARTITION part_1 CONCURRENTLY;",
    "R__view.sql": "CREATE OR REPLACE VIEW emails AS SELECT email, grp FROM account;",
}

IDS = sorted(name.split("_")[0] for name in MIGRATIONS if name[0].isdigit())

_FACTS = """
SELECT
    (SELECT string_agg(what || at, ' ' ORDER BY what) FROM effect),
    (SELECT sum(grp) FROM account),
    (SELECT count(*) FROM part_1),
    (SELECT string_agg(migration_id || state || statements_done, ' ' ORDER BY migration_id)
     FROM lockgate.migration_history),
    (SELECT count(*) FROM lockgate.migration_history WHERE attempting IS NOT NULL),
    (SELECT owner FROM lockgate.migration_lock),
    (SELECT count(*) FROM pg_index WHERE NOT indisvalid),
    (SELECT count(*) FROM pg_inherits WHERE inhdetachpending),
    (SELECT count(*) FROM lockgate.migration_run WHERE status = 'running')
"""

# A role that signs in and acts as another, as with alternating users; neither is a superuser.
_LOGIN, _OWNER = "disturbed_login", "disturbed_owner"
_CREATE_ROLES = f"""
DO $$ BEGIN
    IF to_regrole('{_OWNER}') IS NULL THEN
        CREATE ROLE {_OWNER};
        CREATE ROLE {_LOGIN} LOGIN PASSWORD 'x' NOINHERIT;
        GRANT {_OWNER} TO {_LOGIN};
    END IF;
END $$
"""

_SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'lockgate%'
"""


def act_as_another(project: Project) -> None:
    """Let the project sign in as one role and act as another."""
    database = project.database
    database.run(
        f'{_CREATE_ROLES}; GRANT CREATE ON DATABASE "{database.name}" TO {_OWNER};'
        f" GRANT USAGE, CREATE ON SCHEMA public TO {_OWNER}"
    )
    project.login = (_LOGIN, "x")
    project.settings["LOCKGATE_SET_ROLE"] = _OWNER


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that must be equal, however a run was disturbed."""

    facts: tuple[Any, ...]
    schema: str


def observe(project: Project) -> Outcome:
    """Return the outcome found in the database."""
    facts = tuple(project.database.run(_FACTS)[0])
    return Outcome(facts, project.database.dump(without=("lockgate",)))


def count_sessions(project: Project, *, at_work: bool = False) -> int:
    """Return the number of remaining Lockgate sessions, after waiting for them to end.

    With ``at_work``, only sessions in a statement or a transaction count.
    """
    ends_at = time.monotonic() + LONGEST_SECONDS
    sql = f"{_SESSIONS} AND state <> 'idle'" if at_work else _SESSIONS
    while True:
        count = int(project.database.run(sql)[0][0])
        if count == 0 or time.monotonic() > ends_at:
            return count
        time.sleep(0.05)


def through(project: Project, proxy: Proxy) -> dict[str, str]:
    """Return settings that connect through the proxy, without TLS."""
    return {
        "LOCKGATE_DATABASE_URL": project.address(proxy.port),
        "LOCKGATE_TLS": "off",
        "LOCKGATE_CONNECT_BUDGET": "60s",
        "LOCKGATE_ATOMICITY": "migration",
    }


def run_disturbed(project: Project, proxy: Proxy, deadline: Deadline) -> Report:
    """Run up once through the proxy."""
    project.settings |= through(project, proxy)
    return project.run(deadline=deadline)


def run_killed(
    project: Project, proxy: Proxy, victim: list[int], command: tuple[str, ...] = ("up",)
) -> int:
    """Run a command in its own process, add its id to ``victim``, and return its exit status."""
    environment = {
        **os.environ,
        **project.database.environment,
        **project.settings,
        **through(project, proxy),
        "LOCKGATE_MIGRATIONS": str(project.folder),
    }
    arguments = [sys.executable, "-m", "lockgate.terminal.cli", *command, "--quiet"]
    process = subprocess.Popen(
        arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    victim.append(process.pid)
    return process.wait(timeout=LONGEST_SECONDS)


def kill(victim: list[int]) -> None:
    """Kill the process as Lambda does, without a warning."""
    os.kill(victim[0], signal.SIGKILL)


def finish(project: Project) -> Report:
    """Run up undisturbed until it is done, in at most two attempts."""
    project.settings |= {
        "LOCKGATE_DATABASE_URL": project.address(),
        "LOCKGATE_TLS": "verify-full",
    }
    report = project.run(LOCKGATE_LOCK_WAIT="60s")
    if report.status not in {Status.APPLIED, Status.UP_TO_DATE}:
        report = project.run(LOCKGATE_LOCK_WAIT="60s")
    return report
