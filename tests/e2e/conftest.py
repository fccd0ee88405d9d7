"""Fixtures of the end-to-end tests: the built package, simulated AWS services, and a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from moto.server import ThreadedMotoServer
from tests.support.artifact import Artifact, Unobtainable, make_artifact
from tests.support.cloudformation import Bucket
from tests.support.function import Function, describe_access, store_secret
from tests.support.lambda_service import LambdaService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.database import Database

ACCOUNTS = """\
-- migrate:up
create table accounts (id bigint primary key, name text not null);
-- migrate:down
drop table accounts;
"""
ORDERS = """\
-- migrate:up
create table orders (id bigint primary key, account_id bigint references accounts);
-- migrate:down
drop table orders;
"""


@pytest.fixture(scope="session")
def artifact() -> Artifact:
    """Return the package as deployed, and the Python that Lambda runs it with."""
    try:
        return make_artifact()
    except Unobtainable as failure:
        pytest.skip(str(failure))


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """Return the address of a moto server."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def service() -> Iterator[LambdaService]:
    """Return Lambda's asynchronous side; the test sets the runtime that it delivers to."""
    with LambdaService() as opened:
        yield opened


@pytest.fixture
def function(
    artifact: Artifact, database: Database, aws: str, service: LambdaService, tmp_path: Path
) -> Function:
    """Return a function with two migrations and its credentials in a secret."""
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    secret = store_secret(aws, database.name, describe_access(database))
    function = Function(
        artifact,
        migrations,
        database,
        {
            "LOCKGATE_SECRET_ARN": secret.arn,
            "LOCKGATE_CA_FILE": str(database.ca_file),
            "LOCKGATE_MIGRATIONS": str(migrations),
            "LOCKGATE_CFN_LOOPBACK": "true",
            "AWS_ENDPOINT_URL": aws,
            "AWS_ENDPOINT_URL_LAMBDA": service.url,
        },
    )
    function.write("1_create_accounts.sql", ACCOUNTS)
    function.write("2_create_orders.sql", ORDERS)
    return function


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Return the server behind CloudFormation's signed URLs."""
    with Bucket() as opened:
        yield opened
