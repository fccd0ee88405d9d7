"""The module applied and destroyed with a real provider, handler and database; AWS is moto.

Terraform uploads the package to moto's Lambda. An invocation unpacks the upload and runs it with
Lambda's own runtime client and with the variables that Terraform set.
"""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from moto.awslambda.models import LambdaFunction
from moto.server import ThreadedMotoServer
from tests.support.runtime_api import Runtime

from infra import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.infra.terraform.conftest import MakeTerraform
    from tests.support.database import Database
    from tests.support.terraform import Terraform

pytest.importorskip("awslambdaric", reason="awslambdaric is not installed")

ROOT = Path(__file__).parents[3]
SHOP = Path(__file__).parent / "shop"

ACCOUNTS = "-- migrate:up\ncreate table accounts (id bigint primary key, name text);\n"
ORDERS = "-- migrate:up\ncreate table orders (id bigint primary key);\n"
BROKEN = """\
-- migrate:up
create table invoices (id bigint primary key);
alter table accounts add column name text;
"""

# The beginning of the error in the terminal.
WORDS = (
    'invoking Lambda Function (lockgate): {"errorMessage": "Migration 2 create_invoices failed (42701).'
    " No migration of this run stays; the database is at version 1. Statement 2 of migration 2"
    ' create_invoices failed: column \\"name\\" of relation \\"accounts\\" already exists (42701).'
    " 2_create_invoices.sql:3:1. It was rolled back; the schema is as it was."
)
# moto forgets a function's log group and the purpose of a rule between two groups.
FORGOTTEN = {
    *(f'module.migrations.aws_lambda_function.this["{name}"]' for name in ("migrate", "operate")),
    "module.migrations.aws_vpc_security_group_egress_rule.database[0]",
    "module.migrations.aws_vpc_security_group_ingress_rule.database[0]",
}


@dataclass(slots=True)
class Cloud:
    """The simulated AWS: its address, and the events sent to functions."""

    address: str
    folder: Path
    events: list[Any] = field(default_factory=list)

    def invoke(self, function: LambdaFunction, event: Any) -> tuple[str, bool, str]:
        """Run the uploaded package on an event, as Lambda does; return result, failed, log."""
        self.events.append(event)
        task_root = self.folder / str(len(self.events))
        with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as package:
            package.extractall(task_root)
        variables = {**function.environment_vars, "AWS_ENDPOINT_URL": self.address}
        with Runtime(task_root, str(function.handler), variables) as runtime:
            invocation = runtime.invoke(event)
        if invocation.error is not None:
            return json.dumps(invocation.error), True, invocation.logs
        return json.dumps(invocation.result), False, invocation.logs


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Return a moto server whose functions run the uploaded package."""
    # Otherwise it logs every request.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    cloud = Cloud(f"http://{host}:{port}", tmp_path / "functions")

    def invoke(function: LambdaFunction, event: Any) -> tuple[str, bool, str]:
        return cloud.invoke(function, event)

    monkeypatch.setattr(LambdaFunction, "_invoke_lambda", invoke)
    try:
        yield cloud
    finally:
        server.stop()


@dataclass(frozen=True, slots=True)
class Shop:
    """A configuration that uses the module, and the migrations of its package."""

    terraform: Terraform
    migrations: Path
    variables: dict[str, str] = field(repr=False)

    def write(self, name: str, sql: str) -> None:
        """Write a migration that the next build includes."""
        (self.migrations / name).write_text(sql)

    def build(self) -> None:
        """Build the package, without the libraries that the tests' Python already has."""
        task = self.migrations.parent / "task"
        shutil.copytree(ROOT / "handler/lockgate", task / "lockgate", ignore=build._LEFTOVER)
        shutil.copytree(self.migrations, task / "migrations")
        build.write_package(task, Path(self.variables["package_path"]))
        shutil.rmtree(task)

    def state(self) -> dict[str, Any]:
        """Return Terraform's state from its file."""
        text = (self.terraform.folder / "terraform.tfstate").read_text("utf-8")
        return dict(json.loads(text))

    def outcome(self) -> dict[str, Any]:
        """Return the module's outputs."""
        return dict(self.state()["outputs"]["outcome"]["value"])


@pytest.fixture
def shop(make_terraform: MakeTerraform, cloud: Cloud, database: Database, tmp_path: Path) -> Shop:
    """Return a configuration with one migration, initialised but not applied."""
    folder = Path(shutil.copytree(SHOP, tmp_path / "shop"))
    left = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    shutil.copytree(ROOT / "infra/terraform", tmp_path / "infra/terraform", ignore=left)
    terraform = make_terraform(
        folder,
        AWS_ENDPOINT_URL=cloud.address,
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE="/dev/null",
        AWS_SHARED_CREDENTIALS_FILE="/dev/null",
    )
    credentials = {
        "engine": "postgres",
        "host": database.host,
        "port": database.port,
        "dbname": database.name,
        "username": database.user,
        "password": database.password,
    }
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    shop = Shop(
        terraform,
        migrations,
        {
            "package_path": str(tmp_path / "lockgate.zip"),
            "credentials": json.dumps(credentials),
            "ca_file": str(database.ca_file),
        },
    )
    shop.write("1_create_accounts.sql", ACCOUNTS)
    shop.build()
    terraform.succeed("init", "-backend=false")
    return shop


def list_changes(said: str) -> set[str]:
    """Return the resources that a plan changes."""
    return set(re.findall(r"^  # (\S+) (?:will|must) be ", said, re.MULTILINE))


def list_tables(database: Database) -> list[str]:
    """Return the user's tables."""
    rows = database.run(
        "select relname from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind = 'r' order by relname"
    )
    return [row[0] for row in rows]


def list_runs(database: Database) -> list[list[Any]]:
    """Return caller, status and versions of each recorded run, oldest first."""
    return database.run(
        "select caller, status, from_version, to_version from lockgate.migration_run order by token"
    )


def test_module_is_applied_fails_is_applied_again_and_destroyed(
    shop: Shop, cloud: Cloud, database: Database
) -> None:
    """Apply, failed apply, corrected apply and destroy work as seen from a terminal."""
    terraform, variables = shop.terraform, shop.variables

    # The first apply migrates before the resources that depend on the module.
    terraform.succeed("apply", "-auto-approve", "-no-color", **variables)
    assert {"status": "applied", "from_version": None, "to_version": "1", "applied_count": 1} == (
        shop.outcome()
    )
    assert ["accounts"] == list_tables(database)

    # An unchanged package does nothing and invokes no function.
    shop.build()
    again = terraform.succeed("apply", "-auto-approve", "-no-color", **variables)
    assert FORGOTTEN == list_changes(again)
    assert 1 == len(cloud.events)

    # A failing migration fails the apply with its reason.
    shop.write("2_create_invoices.sql", BROKEN)
    shop.build()
    failed = terraform.run("apply", "-auto-approve", "-no-color", **variables)
    assert (1, WORDS) == (failed.status, failed.words.partition("Error: ")[2][: len(WORDS)])
    assert ["accounts"] == list_tables(database)

    # The failure is not recorded as done: after a correction, the next apply runs it again.
    (shop.migrations / "2_create_invoices.sql").unlink()
    shop.write("2_create_orders.sql", ORDERS)
    shop.build()
    terraform.succeed("apply", "-auto-approve", "-no-color", **variables)
    assert {"status": "applied", "from_version": "1", "to_version": "2", "applied_count": 1} == (
        shop.outcome()
    )

    # Destroy removes everything except the tables in the database.
    terraform.succeed("destroy", "-auto-approve", "-no-color", **variables)
    assert [] == shop.state()["resources"]
    assert ["accounts", "orders"] == list_tables(database)
    assert ["create", "delete", "create", "create", "delete"] == [
        event["tf"]["action"] for event in cloud.events
    ]
    assert [
        ["terraform", "applied", None, "1"],
        ["terraform", "failed", "1", "1"],
        ["terraform", "applied", "1", "2"],
    ] == list_runs(database)
