"""The real handler on an RDS database: PostgreSQL is real, RDS is moto, and only time is simulated.

The host is an RDS endpoint name that is redirected to the test server.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from tests.support.aws import save_time
from tests.support.lambda_context import LambdaContext, ManualClock
from tests.support.rds import ScriptedRds

from lockgate.awslambda import app
from lockgate.errors import RequestRefused, RunIncomplete
from lockgate.wiring import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.project import Project

REGION = "eu-west-1"
FILES = {
    "0001_create.sql": "CREATE TABLE account (id bigint);\n",
    "0002_name.sql": "ALTER TABLE account ADD COLUMN name text;\n",
}


@pytest.fixture
def rds(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedRds]:
    """Return RDS with a cluster named main, whose snapshots are available immediately."""
    save_time(monkeypatch)
    with mock_aws():
        client = boto3.client(
            "rds",
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        client.create_db_cluster(
            DBClusterIdentifier="main",
            Engine="aurora-postgresql",
            MasterUsername="app",
            MasterUserPassword="password-of-eight",
        )
        yield ScriptedRds(client, ("available", 100))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Return the clock of the handler; a sleep advances it."""
    manual = ManualClock()

    def sleep(_self: SystemClock, seconds: float) -> None:
        manual.advance(round(seconds * 1000))

    monkeypatch.setattr(SystemClock, "sleep", sleep)
    monkeypatch.setattr(SystemClock, "monotonic", lambda _self: manual.now_ms / 1000)
    return manual


@pytest.fixture
def shop(project: Project, rds: ScriptedRds, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project in use on that cluster, with its settings in the process environment."""
    project.write(FILES)
    project.run(target="1")
    database = project.database
    host = rds.describe_db_clusters()["DBClusters"][0]["Endpoint"]
    look_up = socket.getaddrinfo

    def lead_home(name: str, *rest: Any, **more: Any) -> list[Any]:
        return look_up(database.host if name == host else name, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lead_home)
    monkeypatch.setattr("lockgate.aws.backup.make_client", lambda *_args, **_more: rds)
    # The server's certificate is for its own name, and TLS names are not under test here.
    url = database.url.replace(f"@{database.host}:", f"@{host}:").partition("?")[0]
    for name, value in {
        "LOCKGATE_DATABASE_URL": url,
        "LOCKGATE_TLS": "require",
        "LOCKGATE_MIGRATIONS": str(project.folder),
        "LOCKGATE_BACKUP": "snapshot",
    }.items():
        monkeypatch.setenv(name, value)
    return project


def invoke(clock: ManualClock, lives_ms: int = 900_000) -> dict[str, Any]:
    """Invoke the function with an empty event, which means up."""
    context: Any = LambdaContext(deadline_ms=clock.now_ms + lives_ms, clock=clock)
    return app.lambda_handler({}, context)


def list_snapshots(rds: ScriptedRds) -> list[str]:
    """Return the identifiers of all manual snapshots."""
    found = rds.client.describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]
    return [snapshot["DBClusterSnapshotIdentifier"] for snapshot in found]


def test_run_takes_a_snapshot_before_its_change_and_none_without(
    shop: Project, rds: ScriptedRds, clock: ManualClock
) -> None:
    """Answer and database show the snapshot in the report, and a repeated run calls no RDS API."""
    report = invoke(clock)
    name = f"lockgate-{report['run_id']}"
    assert ("applied", [name]) == (report["status"], list_snapshots(rds))
    backup = report["backup"]
    assert ("snapshot", "main", name, "available") == (
        backup["kind"],
        backup["source"]["identifier"],
        backup["snapshot"]["identifier"],
        backup["snapshot"]["status"],
    )
    ((stored,),) = shop.database.run(
        "SELECT report->'backup' FROM lockgate.migration_run ORDER BY token DESC LIMIT 1"
    )
    assert backup == stored
    calls = rds.calls.total()
    assert ("up_to_date", None) == ((again := invoke(clock))["status"], again["backup"])
    assert calls == rds.calls.total()


def test_empty_database_is_not_backed_up(
    shop: Project, rds: ScriptedRds, clock: ManualClock
) -> None:
    """A run on an empty database takes no snapshot."""
    shop.database.run("DROP SCHEMA lockgate CASCADE; DROP TABLE account")
    before = rds.calls.total()
    report = invoke(clock)
    assert ("applied", None) == (report["status"], report["backup"])
    assert before == rds.calls.total()


def test_run_waits_for_one_snapshot_over_several_invocations(
    shop: Project, rds: ScriptedRds, clock: ManualClock
) -> None:
    """An invocation that runs out of time changes nothing and frees the lock; the next one continues."""
    rds.states = [("creating", percent) for percent in range(100)] + [("available", 100)]
    with pytest.raises(RunIncomplete) as caught:
        invoke(clock, 600_000)
    cut = json.loads(str(caught.value))
    assert ("incomplete", "creating", ["0002"]) == (
        cut["status"],
        cut["backup"]["snapshot"]["status"],
        [entry["version"] for entry in cut["pending"]],
    )
    assert shop.lock_owner() is None
    assert [("0001", "applied")] == shop.history()
    report = invoke(clock, 600_000)
    assert ("applied", cut["run_id"]) == (report["status"], report["backup"]["snapshot"]["run_id"])
    assert [f"lockgate-{cut['run_id']}"] == list_snapshots(rds)


@pytest.mark.parametrize("trouble", ["failed snapshot", "blue/green deployment"])
def test_refused_run_has_changed_nothing(
    shop: Project, rds: ScriptedRds, clock: ManualClock, trouble: str
) -> None:
    """A failed snapshot or a blue/green deployment refuses the run without changing anything."""
    expected = "backup-failed"
    rds.states = [("failed", 0)]
    if trouble == "blue/green deployment":
        expected = "target-unsuitable"
        arn = rds.describe_db_clusters()["DBClusters"][0]["DBClusterArn"]
        deployment = {"Source": arn, "Status": "AVAILABLE", "BlueGreenDeploymentName": "upgrade"}
        rds.answers["describe_blue_green_deployments"] = {"BlueGreenDeployments": [deployment]}
    before = shop.database.dump()
    with pytest.raises(RequestRefused) as caught:
        invoke(clock)
    report = json.loads(str(caught.value))
    assert ("refused", expected) == (report["status"], report["error"]["code"])
    assert before == shop.database.dump()
    assert ([("0001", "applied")], None) == (shop.history(), shop.lock_owner())
