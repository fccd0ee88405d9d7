"""A password that changes while the function works: the built package and a rotating secret.

Secrets Manager sets the new password in the database before it moves the stage of the secret::

    secret   AWSCURRENT old ─────────────────────────── AWSCURRENT new
    database       old │ new
                       └─ until then AWSCURRENT is rejected, and AWSPENDING works
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.support.function import Function, Secret, describe_access, store_secret
from tests.support.waiting import Background, Gate, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database
    from tests.support.runtime_api import Runtime

REJECTED = 'password authentication failed for user "{}"'


@dataclass(frozen=True, slots=True)
class Rotated:
    """A role of the test, whose password is in a secret."""

    function: Function
    secret: Secret
    user: str

    def start(self) -> Runtime:
        """Return a runtime that uses the role's secret."""
        return self.function.start(LOCKGATE_SECRET_ARN=self.secret.arn)

    def set_in_database(self, password: str) -> None:
        """Set the role's password in the database."""
        self.function.database.run(f"ALTER ROLE {self.user} PASSWORD '{password}'")

    def stage(self, password: str, stage: str) -> None:
        """Store a password at a stage of the secret."""
        self.secret.stage(describe_access(self.function.database, self.user, password), stage)

    @property
    def was_rejected(self) -> bool:
        """Whether the server has rejected the role's password."""
        return REJECTED.format(self.user) in self.function.database.server.log.read_text()


@pytest.fixture
def rotated(function: Function, database: Database, aws: str) -> Iterator[Rotated]:
    """Return a role that may migrate, with the password ``old`` in database and secret."""
    user = f"app_{database.name}"
    database.run(
        f"CREATE ROLE {user} LOGIN PASSWORD 'old';"
        f'GRANT CREATE ON DATABASE "{database.name}" TO {user};'
        f"GRANT ALL ON SCHEMA public TO {user}"
    )
    secret = store_secret(aws, user, describe_access(database, user, "old"))
    yield Rotated(function, secret, user)
    database.run(f"DROP OWNED BY {user} CASCADE; DROP ROLE {user}")


def test_rotation_in_flight_is_followed(rotated: Rotated) -> None:
    """If only the database has the new password, the pending version of the secret is used."""
    rotated.set_in_database("new")
    rotated.stage("new", "AWSPENDING")

    with rotated.start() as runtime:
        invocation = runtime.invoke({})

    assert invocation.error is None
    assert invocation.result["status"] == "applied"
    assert rotated.was_rejected


def test_rotation_that_ends_while_the_function_connects_is_followed(rotated: Rotated) -> None:
    """If the secret moves on between two attempts, the next attempt uses the new password."""
    rotated.set_in_database("new")

    with rotated.start() as runtime:
        running = Background.start(lambda: runtime.invoke({}))
        wait_until(lambda: rotated.was_rejected, "a rejected password")
        rotated.stage("new", "AWSCURRENT")
        invocation = running.result()

    assert invocation.error is None
    assert invocation.result["status"] == "applied"


def test_run_whose_connection_breaks_after_a_rotation_connects_with_the_new_password(
    rotated: Rotated,
) -> None:
    """A long run reconnects with the new password."""
    database = rotated.function.database
    rotated.function.write("3_gate.sql", Gate.SQL)
    rotated.function.write("4_more.sql", "create table more (id bigint);\n")
    gate = Gate(database)

    with rotated.start() as runtime:
        running = Background.start(lambda: runtime.invoke({}))
        gate.wait()
        rotated.set_in_database("new")
        rotated.stage("new", "AWSCURRENT")
        database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE usename = '{rotated.user}' AND application_name LIKE 'lockgate run=%'"
        )
        gate.open()
        invocation = running.result()

    assert invocation.error is None
    assert "connection_restored" in invocation.logs
    assert invocation.result["to_version"] == "4"
    assert rotated.function.tables() == ["accounts", "more", "orders"]
