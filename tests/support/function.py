"""The function of an end-to-end test: the built package, its settings, and how it is started."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from tests.support.runtime_api import MEMORY_MB, Runtime, find_launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.artifact import Artifact
    from tests.support.cloudformation import Event
    from tests.support.database import Database
    from tests.support.lambda_context import LambdaContext
    from tests.support.runtime_api import Invocation

HANDLER = "lockgate.entry.lambda_handler"
REGION = "eu-west-1"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret in the test's Secrets Manager, and what a rotation does to it."""

    endpoint: str
    arn: str

    def stage(self, value: Mapping[str, object], stage: str) -> None:
        """Store a version at a stage, replacing the version that was there."""
        client = _open_secrets(self.endpoint)
        try:
            client.put_secret_value(
                SecretId=self.arn, SecretString=json.dumps(value), VersionStages=[stage]
            )
        finally:
            client.close()


def store_secret(endpoint: str, name: str, value: Mapping[str, object]) -> Secret:
    """Store a new secret."""
    client = _open_secrets(endpoint)
    try:
        created = client.create_secret(Name=name, SecretString=json.dumps(value))
    finally:
        client.close()
    return Secret(endpoint, str(created["ARN"]))


def describe_access(
    database: Database, user: str | None = None, password: str | None = None
) -> dict[str, object]:
    """Return the value that RDS writes into a secret."""
    return {
        "engine": "postgres",
        "host": database.host,
        "port": database.port,
        "dbname": database.name,
        "username": user or database.user,
        "password": password or database.password,
    }


@dataclass(frozen=True, slots=True)
class Function:
    """The read-only package, and a folder of migrations that the test writes."""

    artifact: Artifact
    migrations: Path
    database: Database
    environment: Mapping[str, str]

    def write(self, name: str, text: str) -> None:
        """Write a migration."""
        (self.migrations / name).write_text(text)

    def remove(self, name: str) -> None:
        """Remove a migration."""
        (self.migrations / name).unlink()

    def start(
        self, folder: Path | None = None, *, memory_mb: int = MEMORY_MB, **more: str
    ) -> Runtime:
        """Return a runtime of the package, or of the code in another folder."""
        return Runtime(
            folder or self.artifact.folder,
            HANDLER,
            {**self.environment, **more},
            python=self.artifact.python,
            memory_mb=memory_mb,
            launcher=find_launcher() or (),
        )

    def tables(self) -> list[str]:
        """Return the user's tables."""
        rows = self.database.run(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind = 'r' order by relname"
        )
        return [row[0] for row in rows]

    def runs(self) -> list[str]:
        """Return the status of each run that took the lock, in order."""
        rows = self.database.run("select status from lockgate.migration_run order by token")
        return [row[0] for row in rows]


def as_handler(
    runtime: Runtime,
    read_log: Callable[[str], object] | None = None,
    on_end: Callable[[], object] | None = None,
) -> Callable[[Event, LambdaContext], None]:
    """Return a handler for a stack's driver that runs in ``runtime``."""

    def handle(event: Event, context: LambdaContext) -> None:
        del context  # the runtime creates its own
        invocation = runtime.invoke(event)
        if read_log is not None:
            read_log(invocation.logs)
        if on_end is not None:
            on_end()
        assert invocation.error is None, invocation.error

    return handle


def read_error(invocation: Invocation) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the error object that Lambda gives to a caller, and the report in it."""
    assert invocation.error is not None, invocation.result
    report = json.loads(invocation.error["errorMessage"])
    assert report["format"] == "lockgate/report/v1"
    return invocation.error, report


def _open_secrets(endpoint: str) -> Any:
    return boto3.client(
        "secretsmanager",
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
