"""A backup before a change: it is of the right database, and only `snapshot` stops a run."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from tests.support.engine import BackupNotes
from tests.support.rds import ScriptedRds, answer_error

from lockgate.aws.access import AccessSource
from lockgate.aws.backup import BackupTerms, RdsBackup
from lockgate.aws.endpoints import Resource, ResourceKind
from lockgate.aws.parts import SecretStage
from lockgate.core.backup import NoBackup, Purpose
from lockgate.core.deadline import Deadline
from lockgate.core.endpoint import Endpoint
from lockgate.core.policy import BackupMode
from lockgate.core.snapshot import OLDEST_REUSED
from lockgate.errors import BackupFailed, RunIncomplete, TargetUnsuitable
from lockgate.report.log import log_to
from lockgate.settings import Settings
from lockgate.wiring import make_backup

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD, SNAPSHOT = BackupMode.RECORD, BackupMode.SNAPSHOT
PASSWORD = "password-of-eight"
OTHER_ACCOUNT = "main.cluster-elsewhere.eu-west-1.rds.amazonaws.com"
GOAL = "up 0009"
# Time for a run of ten minutes.
WORK_MS, RESERVE_MS = 600_000, 20_000


class DrivenClock:
    """A clock that starts now and advances only when sleep is called."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self._began = time.time()

    def monotonic(self) -> float:
        """Return the seconds slept."""
        return self.elapsed

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self._began + self.elapsed

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.elapsed += seconds


@dataclass
class Scene:
    """Consecutive runs against one RDS and on one clock."""

    rds: Any
    clock: DrivenClock = field(default_factory=DrivenClock)
    regions: list[str | None] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    named: Resource | None = None
    notes: BackupNotes | None = None

    def run(
        self,
        host: str,
        mode: BackupMode | None = SNAPSHOT,
        *,
        run_id: str = "feed",
        keep: int = 5,
        goal: str = GOAL,
        dbname: str = "shop",
        deadline: Deadline | None = None,
    ) -> BackupNotes:
        """Back up for one run and return its notes, which stay available in `notes` if it raises."""
        self.notes = BackupNotes()
        backup = self.make(mode, keep=keep, deadline=deadline)
        backup.before_change(make_purpose(host, run_id, goal, dbname), self.notes)
        return self.notes

    def make(
        self, mode: BackupMode | None, *, keep: int = 5, deadline: Deadline | None = None
    ) -> RdsBackup:
        """Return the backup of one run."""
        return RdsBackup(
            BackupTerms(mode, keep, "lockgate"),
            lambda: self.named,
            self.clock,
            deadline or Deadline(None, RESERVE_MS),
            log_to(lambda name, **fields: self.events.append((name, fields))),
            self._client,
        )

    def make_deadline(self) -> Deadline:
        """Return the deadline of an invocation that begins now."""
        ends_at = self.clock.elapsed + (WORK_MS + RESERVE_MS) / 1000
        return Deadline(lambda: round((ends_at - self.clock.elapsed) * 1000), RESERVE_MS)

    def emitted(self, name: str) -> list[dict[str, Any]]:
        """Return the fields of every event with this name."""
        return [fields for event, fields in self.events if event == name]

    @property
    def backup(self) -> dict[str, Any]:
        """The backup in the last run's report."""
        assert self.notes is not None
        assert self.notes.backup is not None
        return self.notes.backup

    def _client(self, service: str, region: str | None) -> Any:
        assert service == "rds"
        self.regions.append(region)
        return self.rds


@pytest.fixture(scope="module")
def rds() -> Any:
    """Return one client for all tests, since creating one takes longer than most of them."""
    return boto3.client(
        "rds",
        region_name="eu-west-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@pytest.fixture
def scene(rds: Any) -> Scene:
    """Return a scene whose snapshots are available immediately."""
    return Scene(ScriptedRds(rds, ("available", 100)))


@pytest.fixture
def slow(rds: Any) -> Scene:
    """Return a scene whose snapshots are available at the fourth look."""
    return Scene(
        ScriptedRds(rds, ("creating", 0), ("creating", 40), ("creating", 40), ("available", 100))
    )


def make_purpose(host: str, run_id: str = "feed", goal: str = GOAL, dbname: str = "x") -> Purpose:
    """Return the purpose of a run on this host."""
    return Purpose(run_id, Endpoint(host, 5432, dbname), "0007", goal)


def create_cluster(rds: Any, name: str = "main", engine: str = "aurora-postgresql") -> Any:
    """Create a cluster, with an instance if it is Aurora, and return its description."""
    multi_az = {
        "DBClusterInstanceClass": "db.m6gd.large",
        "StorageType": "io1",
        "Iops": 1_000,
        "AllocatedStorage": 100,
    }
    is_aurora = engine.startswith("aurora")
    rds.create_db_cluster(
        DBClusterIdentifier=name,
        Engine=engine,
        MasterUsername="app",
        MasterUserPassword=PASSWORD,
        **({} if is_aurora else multi_az),
    )
    if is_aurora:
        rds.create_db_instance(
            DBInstanceIdentifier=f"{name}-1",
            DBInstanceClass="db.r6g.large",
            Engine=engine,
            DBClusterIdentifier=name,
        )
    return rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]


def create_instance(rds: Any, name: str = "single") -> Any:
    """Create an instance and return its description."""
    rds.create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="app",
        MasterUserPassword=PASSWORD,
    )
    return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]


def create_of(rds: Any, kind: str) -> str:
    """Create a database of this kind and return its host."""
    if kind == "instance":
        return str(create_instance(rds)["Endpoint"]["Address"])
    engine = "aurora-postgresql" if kind == "aurora" else "postgres"
    return str(create_cluster(rds, engine=engine)["Endpoint"])


def list_snapshots(rds: Any) -> dict[str, dict[str, str]]:
    """Return the tags of every manual snapshot, by snapshot identifier."""
    found = [
        *((s["DBSnapshotIdentifier"], s) for s in rds.describe_db_snapshots()["DBSnapshots"]),
        *(
            (s["DBClusterSnapshotIdentifier"], s)
            for s in rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]
        ),
    ]
    return {
        name: {tag["Key"]: tag["Value"] for tag in snapshot["TagList"]}
        for name, snapshot in found
        if snapshot["SnapshotType"] == "manual"
    }


# Identification of the database.


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("aurora", ("cluster", "main", "aurora-postgresql")),
        ("multi-az", ("cluster", "main", "postgres")),
        ("instance", ("instance", "single", "postgres")),
    ],
)
def test_restorable_time_of_what_the_host_names_is_recorded(
    scene: Scene, rds: Any, kind: str, source: tuple[str, str, str]
) -> None:
    """The restorable time of a cluster or instance is read in the region of its host name."""
    scene.run(create_of(rds, kind), None)
    backup = scene.backup
    found = tuple(backup["source"][key] for key in ("kind", "identifier", "engine"))
    assert (source, "point_in_time", None) == (found, backup["kind"], backup["snapshot"])
    assert datetime.fromisoformat(backup["restorable_time"]).tzinfo is not None
    assert backup["restore"][0].startswith(f"aws rds restore-db-{source[0]}-to-point-in-time ")
    assert ["eu-west-1"] == scene.regions
    assert [] == scene.events


@pytest.mark.parametrize("key", ["Endpoint", "ReaderEndpoint"])
def test_both_endpoints_of_a_cluster_lead_to_it(scene: Scene, rds: Any, key: str) -> None:
    """Writer and reader endpoints identify the same cluster, regardless of case."""
    scene.run(create_cluster(rds)[key].upper(), RECORD)
    assert "main" == scene.backup["source"]["identifier"]


def test_instance_of_a_cluster_leads_to_the_cluster(scene: Scene, rds: Any) -> None:
    """The host of an Aurora instance leads to its cluster, since instances have no snapshots."""
    create_cluster(rds)
    (instance,) = rds.describe_db_instances()["DBInstances"]
    scene.run(instance["Endpoint"]["Address"], RECORD)
    assert ("cluster", "main") == (
        scene.backup["source"]["kind"],
        scene.backup["source"]["identifier"],
    )
    assert "--db-instance-class db.r6g.large " in scene.backup["restore"][-1]


def test_custom_endpoint_leads_to_its_cluster(scene: Scene, rds: Any) -> None:
    """RDS is asked for the cluster of a custom endpoint."""
    create_cluster(rds)
    host = "reports.cluster-custom-c1.eu-west-1.rds.amazonaws.com"
    endpoint = {"Endpoint": host, "DBClusterIdentifier": "main"}
    scene.rds.answers["describe_db_cluster_endpoints"] = {"DBClusterEndpoints": [endpoint]}
    scene.run(host, RECORD)
    assert "main" == scene.backup["source"]["identifier"]


@pytest.mark.parametrize("host", ["front.proxy-c1", "more.endpoint.proxy-c1"])
@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([{"Type": "TRACKED_CLUSTER", "RdsResourceId": "main"}], "main"),
        ([{"Type": "RDS_INSTANCE", "RdsResourceId": "main-1", "TrackedClusterId": "main"}], "main"),
        ([{"Type": "RDS_INSTANCE", "RdsResourceId": "single"}], "single"),
    ],
)
def test_proxy_leads_to_its_target(
    scene: Scene, rds: Any, host: str, targets: list[dict[str, str]], expected: str
) -> None:
    """Both kinds of proxy endpoints lead to the proxy's target."""
    create_cluster(rds)
    create_instance(rds)
    host += ".eu-west-1.rds.amazonaws.com"
    proxy = {"DBProxyName": "front", "Endpoint": host}
    scene.rds.answers |= {
        "describe_db_proxies": {"DBProxies": [proxy]},
        "describe_db_proxy_endpoints": {"DBProxyEndpoints": [proxy]},
        "describe_db_proxy_targets": {"Targets": targets},
    }
    scene.run(host, RECORD)
    assert expected == scene.backup["source"]["identifier"]


@pytest.mark.parametrize(
    ("value", "tag", "expected"),
    [
        ({"dbClusterIdentifier": "main"}, {}, "main"),
        ({"dbInstanceIdentifier": "single"}, {}, "single"),
        ({"dbInstanceIdentifier": "main-1"}, {}, "main"),
        ({}, {"aws:rds:primaryDBClusterArn": "arn:aws:rds:eu-west-1:1:cluster:main"}, "main"),
        ({}, {"aws:rds:primaryDBInstanceArn": "arn:aws:rds:eu-west-1:1:db:single"}, "single"),
    ],
)
def test_secret_names_the_database_of_a_custom_host_name(
    scene: Scene,
    rds: Any,
    make_secret: Callable[..., str],
    value: dict[str, str],
    tag: dict[str, str],
    expected: str,
) -> None:
    """An identifier in the secret, or a tag set by RDS, names the database behind a custom host name."""
    create_cluster(rds)
    create_instance(rds)
    secret = {"username": "app", "password": PASSWORD, "host": "db.internal", **value}
    source = AccessSource(Settings(secret_arn=make_secret(secret, tags=tag)))
    host = source.access(SecretStage.CURRENT).endpoint.host
    scene.named = source.find_resource()
    scene.run(host, RECORD)
    assert expected == scene.backup["source"]["identifier"]
    assert ["eu-west-1"] == scene.regions


def test_url_names_no_database_of_rds() -> None:
    """Without a secret, a custom host name does not lead to an RDS resource."""
    source = AccessSource(Settings(database_url="postgresql://app:pw@db.internal/shop"))
    source.access(SecretStage.CURRENT)
    assert source.find_resource() is None


# Databases that are not found.


def refuse_calls(service: str, region: str | None) -> Any:
    """Fail on any use of AWS."""
    raise AssertionError(f"a client of {service} in {region} was asked for")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_loopback_asks_no_service(scene: Scene, host: str) -> None:
    """A loopback host is skipped even if the secret names a cluster, since it may be any tunnel."""
    scene.named = Resource(ResourceKind.CLUSTER, "main")
    scene._client = refuse_calls  # type: ignore[method-assign]
    assert scene.run(host, None).backup is None
    assert ["backup_skipped"] == [name for name, _ in scene.events]


@pytest.mark.parametrize(
    "host", ["db.internal", OTHER_ACCOUNT, "gone.c1.eu-west-1.rds.amazonaws.com"]
)
def test_unknown_database_is_skipped_unless_a_snapshot_is_required(
    scene: Scene, rds: Any, host: str
) -> None:
    """A missing database is only logged by default, warns with `record`, and fails with `snapshot`."""
    create_cluster(rds)
    quiet = scene.run(host, None)
    assert (None, []) == (quiet.backup, quiet.warnings)
    (event,) = scene.emitted("backup_skipped")
    asked = scene.run(host, RECORD)
    (warning,) = asked.warnings
    assert (None, True) == (asked.backup, warning.startswith(event["reason"]))
    with pytest.raises(BackupFailed):
        scene.run(host, SNAPSHOT)
    assert {} == list_snapshots(rds)


def test_cluster_of_the_same_name_in_another_account_is_not_taken_for_it(
    scene: Scene, rds: Any
) -> None:
    """A cluster is only accepted if its described endpoint is the host."""
    create_cluster(rds)
    (warning,) = scene.run(OTHER_ACCOUNT, RECORD).warnings
    expected = (
        "The restorable time is unknown: RDS cluster main in this account and region is a different one:"
        f" {OTHER_ACCOUNT} is not its endpoint. Run in the database's account, or set"
        " LOCKGATE_BACKUP=off."
    )
    assert expected == warning


def test_secret_of_another_engine_is_not_used(scene: Scene, rds: Any) -> None:
    """A cluster of another engine is refused, since the run is connected to PostgreSQL."""
    create_cluster(rds, engine="aurora-mysql")
    scene.named = Resource(ResourceKind.CLUSTER, "main", "eu-west-1")
    with pytest.raises(BackupFailed, match="RDS cluster main runs the engine aurora-mysql"):
        scene.run("db.internal")


@pytest.mark.parametrize(
    ("error", "problem", "advice"),
    [
        (
            answer_error("AccessDenied"),
            "RDS cluster main cannot be described: this role may not do that (AccessDenied).",
            "Allow rds:DescribeDBClusters",
        ),
        (
            EndpointConnectionError(endpoint_url="https://rds"),
            (
                "RDS cluster main cannot be described: the endpoint of rds cannot be reached"
                " (EndpointConnectionError)."
            ),
            "interface endpoint for rds",
        ),
    ],
)
def test_unreachable_api_stops_a_run_only_if_a_snapshot_is_required(
    scene: Scene, rds: Any, error: Exception, problem: str, advice: str
) -> None:
    """A denied or unreachable API is a log entry by default, a warning with `record`, else an error."""
    host = create_cluster(rds)["Endpoint"]
    scene.rds.errors["describe_db_clusters"] = [error, error, error]
    quiet = scene.run(host, None)
    assert (None, []) == (quiet.backup, quiet.warnings)
    assert [{"reason": f"The restorable time is unknown: {problem}"}] == scene.emitted(
        "backup_skipped"
    )
    (warning,) = scene.run(host, RECORD).warnings
    assert warning.startswith(f"The restorable time is unknown: {problem}")
    assert advice in warning
    with pytest.raises(BackupFailed) as caught:
        scene.run(host, SNAPSHOT)
    assert f"{problem}" == str(caught.value)
    assert caught.value.hint is not None
    assert advice in caught.value.hint


def test_database_without_automated_backups_is_warned_of_where_asked_for(
    scene: Scene, rds: Any
) -> None:
    """Without automated backups there is no restorable time, and only `record` warns."""
    described = create_instance(rds)
    del described["LatestRestorableTime"]
    scene.rds.answers["describe_db_instances"] = {"DBInstances": [described]}
    host = described["Endpoint"]["Address"]
    assert [] == scene.run(host, None).warnings
    assert (None, []) == (scene.backup["restorable_time"], scene.backup["restore"])
    (warning,) = scene.run(host, RECORD).warnings
    assert "RDS instance single cannot be restored to a point in time" in warning


# Wiring.


def test_off_backs_nothing_up() -> None:
    """Mode off makes no AWS call and writes nothing."""
    settings = Settings(backup=BackupMode.OFF)
    backup = make_backup(settings, AccessSource(settings), Deadline(None, 0), print)
    assert isinstance(backup, NoBackup)
    scene = BackupNotes()
    backup.before_change(make_purpose("localhost"), scene)
    assert scene.backup is None


def test_default_backup_uses_its_own_client(rds: Any) -> None:
    """By default a run records the restorable time with a real client, and only once."""
    host = create_cluster(rds)["Endpoint"]
    settings = Settings(database_url=f"postgresql://app@{host}/shop")
    backup = make_backup(settings, AccessSource(settings), Deadline(None, 0), print)
    notes = BackupNotes()
    backup.before_change(make_purpose(host), notes)
    assert notes.backup is not None
    notes.backup = None
    backup.before_change(make_purpose(host), notes)
    assert notes.backup is None


@pytest.mark.parametrize(
    ("host", "mode"), [("localhost", "None"), ("db.internal", "None"), (OTHER_ACCOUNT, "'off'")]
)
def test_boto3_is_not_imported_where_nothing_is_asked(host: str, mode: str) -> None:
    """No AWS library is imported if no AWS call is needed."""
    script = f"""
import sys
from types import SimpleNamespace
from lockgate.aws.access import AccessSource
from lockgate.core.backup import Purpose
from lockgate.core.deadline import Deadline
from lockgate.core.request import Action, Caller, Request
from lockgate.core.endpoint import Endpoint
from lockgate.core.policy import BackupMode
from lockgate.settings import Settings
from lockgate.wiring import make_backup
mode = {mode} and BackupMode({mode})
settings = Settings(database_url='postgresql://app:pw@{host}/d', backup=mode)
backup = make_backup(settings, AccessSource(settings), Deadline(None, 0), lambda event: None)
assert "lockgate.aws.backup" not in sys.modules
notes = SimpleNamespace(backup=None)
backup.before_change(Purpose("feed", Endpoint('{host}', 5432, "d"), None, "x"), notes)
print([name for name in sys.modules if name.startswith(('boto', 'moto'))])
"""
    handler = Path(__file__).parents[2] / "handler"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(handler)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "[]\n" == ran.stdout


# Snapshots.


@pytest.mark.parametrize("kind", ["aurora", "multi-az", "instance"])
def test_snapshot_is_taken_tagged_and_waited_for(slow: Scene, rds: Any, kind: str) -> None:
    """The snapshot is named after the run, and each new status is logged once."""
    slow.run(create_of(rds, kind))
    ((name, tags),) = list_snapshots(rds).items()
    work = tags.pop("lockgate:work")
    assert ("lockgate-feed", 64) == (name, len(work))
    assert {
        "lockgate:run": "feed",
        "lockgate:database": "shop",
        "lockgate:schema": "lockgate",
        "lockgate:version": "0007",
    } == tags
    snapshot = slow.backup["snapshot"]
    assert ("available", "feed", name) == (
        snapshot["status"],
        snapshot["run_id"],
        snapshot["identifier"],
    )
    assert f":{name}" in snapshot["arn"]
    assert "snapshot" == slow.backup["kind"]
    assert f"snapshot-identifier {name}" in slow.backup["restore"][0]
    assert ["snapshot_requested", "snapshot_waited_for", "snapshot_waited_for"] == [
        event for event, _ in slow.events[:3]
    ]
    assert [0, 40] == [fields["percent"] for fields in slow.emitted("snapshot_waited_for")]
    assert [{"snapshot": name}] == slow.emitted("snapshot_finished")
    assert 30 == pytest.approx(slow.clock.elapsed)


def test_second_call_of_a_run_makes_no_second_snapshot(scene: Scene, rds: Any) -> None:
    """After a reconnect, the run keeps the snapshot that it already has."""
    host = create_of(rds, "aurora")
    backup = scene.make(SNAPSHOT)
    notes = BackupNotes()
    for _ in range(2):
        backup.before_change(make_purpose(host), notes)
    assert 1 == scene.rds.calls["create_db_cluster_snapshot"]


@pytest.mark.parametrize("kind", ["aurora", "instance"])
def test_run_cut_off_while_waiting_is_gone_on_with_by_the_next(
    scene: Scene, rds: Any, kind: str
) -> None:
    """All invocations share one snapshot, and the report names it."""
    host = create_of(rds, kind)
    scene.rds.states = [("creating", percent) for percent in range(0, 100, 1)]
    scene.rds.states.append(("available", 100))
    with pytest.raises(RunIncomplete) as caught:
        scene.run(host, run_id="feed", deadline=scene.make_deadline())
    # One look every ten seconds for ten minutes.
    assert WORK_MS / 1000 == pytest.approx(scene.clock.elapsed)
    source = scene.backup["source"]
    assert (
        "The run stopped before it was done: the time of this invocation is over. It was waiting"
        f" for snapshot lockgate-feed of RDS {source['kind']} {source['identifier']} (59 %)."
    ) == str(caught.value)
    assert ("creating", "feed") == (
        scene.backup["snapshot"]["status"],
        scene.backup["snapshot"]["run_id"],
    )
    scene.run(host, run_id="cafe", deadline=scene.make_deadline())
    assert ("available", "feed") == (
        scene.backup["snapshot"]["status"],
        scene.backup["snapshot"]["run_id"],
    )
    assert ["lockgate-feed"] == list(list_snapshots(rds))
    assert 1 == len(scene.emitted("snapshot_requested"))


def test_interrupted_wait_ends_at_once(slow: Scene, rds: Any) -> None:
    """Ctrl-C ends the wait in a terminal, which has no deadline."""
    deadline = Deadline(None, RESERVE_MS)
    deadline.interrupt("Ctrl-C")
    with pytest.raises(RunIncomplete, match=r"Ctrl-C\. It was waiting for a snapshot of RDS"):
        slow.run(create_of(rds, "aurora"), deadline=deadline)
    assert {} == list_snapshots(rds)


def test_snapshot_of_a_run_that_went_on_is_not_taken_again(scene: Scene, rds: Any) -> None:
    """A run that continues partly done work reuses the snapshot from before that work."""
    host = create_of(rds, "aurora")
    scene.run(host, run_id="feed")
    scene.clock.elapsed += OLDEST_REUSED.total_seconds() - 60
    scene.run(host, run_id="cafe")
    assert "feed" == scene.backup["snapshot"]["run_id"]
    assert ["lockgate-feed"] == list(list_snapshots(rds))


@pytest.mark.parametrize(
    ("later_seconds", "changes"),
    [
        (OLDEST_REUSED.total_seconds() * 2, {}),
        (0, {"goal": "up 0010"}),
        (0, {"dbname": "crm"}),
    ],
    ids=["an hour later", "other work", "another database"],
)
def test_other_work_gets_its_own_snapshot(
    scene: Scene, rds: Any, later_seconds: float, changes: dict[str, Any]
) -> None:
    """An old snapshot, or one for other work or another database, is not reused."""
    host = create_of(rds, "instance")
    scene.run(host, run_id="feed")
    scene.clock.elapsed += later_seconds
    scene.run(host, run_id="cafe", **changes)
    assert "cafe" == scene.backup["snapshot"]["run_id"]
    assert ["lockgate-cafe", "lockgate-feed"] == sorted(list_snapshots(rds))


def test_call_that_was_repeated_finds_its_own_snapshot(slow: Scene, rds: Any) -> None:
    """A name conflict with the run's own snapshot means that a lost request had succeeded."""
    host = create_of(rds, "aurora")
    rds.create_db_cluster_snapshot(
        DBClusterIdentifier="main", DBClusterSnapshotIdentifier="lockgate-feed"
    )
    slow.run(host)
    assert "lockgate-feed" == slow.backup["snapshot"]["identifier"]


def test_snapshot_of_that_name_of_another_cluster_is_not_waited_for(scene: Scene, rds: Any) -> None:
    """Snapshot names are unique per account, so the name may belong to another cluster."""
    create_cluster(rds, "other")
    rds.create_db_cluster_snapshot(
        DBClusterIdentifier="other", DBClusterSnapshotIdentifier="lockgate-feed"
    )
    with pytest.raises(BackupFailed, match="lockgate-feed exists already, and is not of RDS"):
        scene.run(create_of(rds, "aurora"))


@pytest.mark.parametrize("status", ["failed", "error", "storage-full", "incompatible-restore"])
def test_snapshot_that_fails_refuses_the_run(scene: Scene, rds: Any, status: str) -> None:
    """A failed snapshot refuses the run, its status is reported, and the next run takes a new one."""
    host = create_of(rds, "aurora")
    scene.rds.states = [("creating", 0), (status, 0)]
    with pytest.raises(BackupFailed) as caught:
        scene.run(host, run_id="feed")
    assert (f"Snapshot lockgate-feed of RDS cluster main failed: its status is {status}.") == str(
        caught.value
    )
    assert status == scene.backup["snapshot"]["status"]
    scene.rds.states = [("available", 100)]
    scene.run(host, run_id="cafe")
    assert "cafe" == scene.backup["snapshot"]["run_id"]
    # The failed snapshot is useless, so it is pruned.
    assert ["lockgate-cafe"] == list(list_snapshots(rds))


@pytest.mark.parametrize(
    ("kind", "operation", "code"),
    [
        ("aurora", "create_db_cluster_snapshot", "InvalidDBClusterStateFault"),
        ("instance", "create_db_snapshot", "InvalidDBInstanceState"),
    ],
)
def test_busy_database_is_asked_again(
    scene: Scene, rds: Any, kind: str, operation: str, code: str
) -> None:
    """A busy database is asked again until its own backup or modification has ended."""
    host = create_of(rds, kind)
    scene.rds.errors[operation] = [answer_error(code), answer_error(code)]
    scene.run(host)
    assert 3 == scene.rds.calls[operation]
    assert 20 == pytest.approx(scene.clock.elapsed)
    assert [{"status": "available"}] * 2 == scene.emitted("snapshot_delayed")
    assert "available" == scene.backup["snapshot"]["status"]


def test_busy_database_is_asked_until_time_is_over(scene: Scene, rds: Any) -> None:
    """Without a snapshot at the deadline, the message names none."""
    host = create_of(rds, "instance")
    scene.rds.errors["create_db_snapshot"] = [answer_error("InvalidDBInstanceState")] * 99
    with pytest.raises(RunIncomplete, match="waiting for a snapshot of RDS instance single") as cut:
        scene.run(host, deadline=scene.make_deadline())
    assert "Invoke again: the next run requests the snapshot." == cut.value.hint


@pytest.mark.parametrize("status", ["storage-full", "incompatible-parameters", "failed"])
def test_database_that_gets_no_snapshot_is_not_waited_for(
    scene: Scene, rds: Any, status: str
) -> None:
    """The run does not wait for a status that will not change by itself, such as a full disk."""
    described = create_instance(rds)
    scene.rds.answers["describe_db_instances"] = {
        "DBInstances": [{**described, "DBInstanceStatus": status}]
    }
    scene.rds.errors["create_db_snapshot"] = [answer_error("InvalidDBInstanceState")]
    with pytest.raises(BackupFailed) as caught:
        scene.run(described["Endpoint"]["Address"])
    expected = f"RDS cannot take a snapshot of RDS instance single, whose status is {status}."
    assert f"{expected}" == str(caught.value)
    assert 0 == scene.clock.elapsed


@pytest.mark.parametrize(
    ("code", "problem", "advice"),
    [
        ("AccessDenied", "this role may not do that (AccessDenied)", "rds:AddTagsToResource"),
        ("SnapshotQuotaExceeded", "the account has reached its quota", "quota raised"),
        ("KMSKeyNotAccessibleFault", "AWS answered KMSKeyNotAccessibleFault", "look up the code"),
    ],
)
def test_snapshot_that_rds_refuses_refuses_the_run(
    scene: Scene, rds: Any, code: str, problem: str, advice: str
) -> None:
    """The message names snapshot and reason, and the hint says what to do."""
    host = create_of(rds, "aurora")
    scene.rds.errors["create_db_cluster_snapshot"] = [answer_error(code)]
    with pytest.raises(BackupFailed) as caught:
        scene.run(host)
    said = f"Snapshot lockgate-feed of RDS cluster main cannot be taken: {problem}"
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith("")
    assert caught.value.hint is not None
    assert advice in caught.value.hint


def test_transient_failure_of_a_check_is_retried(slow: Scene, rds: Any) -> None:
    """Up to three temporary failures in a row are tolerated."""
    slow.rds.errors["look"] = [answer_error("Throttling")] * 3
    slow.run(create_of(rds, "aurora"))
    assert "available" == slow.backup["snapshot"]["status"]
    assert 60 == pytest.approx(slow.clock.elapsed)


@pytest.mark.parametrize(
    ("errors", "problem"),
    [
        (["Throttling"] * 4, "AWS answered Throttling"),
        (["AccessDenied"], "this role may not do that"),
        (["DBClusterSnapshotNotFoundFault"], "it was deleted"),
    ],
)
def test_lasting_failure_of_a_check_refuses_the_run(
    slow: Scene, rds: Any, errors: list[str], problem: str
) -> None:
    """A fourth temporary failure, or a permanent one, refuses the run."""
    slow.rds.errors["look"] = [answer_error(code) for code in errors]
    with pytest.raises(BackupFailed, match=problem):
        slow.run(create_of(rds, "aurora"))


# Pruning.


@pytest.mark.parametrize("kind", ["aurora", "instance"])
def test_only_the_newest_of_lockgates_own_are_kept(scene: Scene, rds: Any, kind: str) -> None:
    """Older snapshots of Lockgate are deleted after the new one is available, and no others."""
    host = create_of(rds, kind)
    words = (
        ("cluster_snapshot", "DBClusterSnapshotIdentifier", {"DBClusterIdentifier": "main"})
        if kind == "aurora"
        else ("snapshot", "DBSnapshotIdentifier", {"DBInstanceIdentifier": "single"})
    )
    operation, key, of = words
    create = getattr(rds, f"create_db_{operation}")
    create(**of, **{key: "nightly"})
    create(**of, **{key: "lockgate-by-hand"})
    scene.run(host, run_id="crm", dbname="crm")
    for number in range(4):
        scene.run(host, run_id=f"r{number}", goal=f"up {number}", keep=2)
    expected = ["lockgate-by-hand", "lockgate-crm", "lockgate-r2", "lockgate-r3", "nightly"]
    assert expected == sorted(list_snapshots(rds))
    assert [["lockgate-r0"], ["lockgate-r1"]] == [
        fields["snapshots"] for fields in scene.emitted("snapshots_pruned")
    ]


def test_nothing_is_deleted_before_the_new_snapshot_is_there(scene: Scene, rds: Any) -> None:
    """If the new snapshot fails, the existing ones are kept."""
    host = create_of(rds, "aurora")
    scene.run(host, run_id="feed", keep=1)
    scene.rds.states = [("failed", 0)]
    with pytest.raises(BackupFailed):
        scene.run(host, run_id="cafe", goal="other", keep=1)
    assert ["lockgate-cafe", "lockgate-feed"] == sorted(list_snapshots(rds))


def test_snapshot_that_cannot_be_deleted_is_a_warning(scene: Scene, rds: Any) -> None:
    """A failed deletion is only a warning, since the backup exists."""
    host = create_of(rds, "aurora")
    scene.run(host, run_id="feed", keep=1)
    scene.rds.errors["delete_db_cluster_snapshot"] = [answer_error("AccessDenied")]
    (warning,) = scene.run(host, run_id="cafe", goal="other", keep=1).warnings
    expected = (
        "Older snapshots were not deleted: Snapshot lockgate-feed cannot be deleted: this role"
    )
    assert warning.startswith(expected)
    assert "Allow rds:DeleteDBClusterSnapshot" in warning
    assert "available" == scene.backup["snapshot"]["status"]


def test_snapshot_deleted_by_another_run_is_ignored(scene: Scene, rds: Any) -> None:
    """A snapshot that was already deleted causes no warning."""
    host = create_of(rds, "aurora")
    scene.run(host, run_id="feed", keep=1)
    gone = answer_error("DBClusterSnapshotNotFoundFault")
    scene.rds.errors["delete_db_cluster_snapshot"] = [gone]
    assert [] == scene.run(host, run_id="cafe", goal="other", keep=1).warnings
    assert [] == scene.emitted("snapshots_pruned")


def test_long_lists_are_read_to_their_end(scene: Scene, rds: Any) -> None:
    """All pages are read, since the earlier snapshot may be on the last one."""
    host = create_of(rds, "aurora")
    scene.run(host, run_id="feed")
    pages = [
        {**rds.describe_db_cluster_snapshots(), "DBClusterSnapshots": [], "Marker": "2"},
        rds.describe_db_cluster_snapshots(),
    ]
    asked: list[dict[str, Any]] = []

    def describe(**parameters: Any) -> Any:
        asked.append(parameters)
        return pages[len(asked) % 2 - 1]

    scene.rds.describe_db_cluster_snapshots = describe
    scene.run(host, run_id="cafe")
    assert "feed" == scene.backup["snapshot"]["run_id"]
    assert [None, "2"] == [parameters.get("Marker") for parameters in asked[:2]]
    assert {"DBClusterIdentifier": "main", "SnapshotType": "manual"} == asked[0]


# Blue/green deployments.


def deploy(scene: Scene, *deployments: dict[str, Any]) -> None:
    """Make RDS describe these deployments, one per page."""
    left = list(deployments)

    def describe(**_parameters: Any) -> Any:
        page = [left.pop(0)] if left else []
        return {"BlueGreenDeployments": page, "Marker": "more" if left else ""}

    scene.rds.describe_blue_green_deployments = describe


def make_deployment(arn: str, status: str, side: str = "Source") -> dict[str, Any]:
    """Return a deployment as RDS describes it."""
    sides = {"Source": "arn:blue", "Target": "arn:green", side: arn}
    name = {"BlueGreenDeploymentName": "upgrade", "BlueGreenDeploymentIdentifier": "bgd-1"}
    return {**name, **sides, "Status": status}


@pytest.mark.parametrize(
    ("mode", "side", "status"),
    [
        (None, "Source", "PROVISIONING"),
        (None, "Target", "AVAILABLE"),
        (RECORD, "Source", "SWITCHOVER_IN_PROGRESS"),
        (RECORD, "Target", "SWITCHOVER_FAILED"),
        (SNAPSHOT, "Source", "AVAILABLE"),
        (SNAPSHOT, "Target", "INVALID_CONFIGURATION"),
    ],
)
def test_active_deployment_refuses_the_run_in_every_mode(
    scene: Scene, rds: Any, mode: BackupMode | None, side: str, status: str
) -> None:
    """The run is refused before any other request, on the blue and on the green side."""
    cluster = create_cluster(rds)
    other = make_deployment("arn:of-another", status)
    deploy(scene, other, make_deployment(cluster["DBClusterArn"], status, side))
    with pytest.raises(TargetUnsuitable) as caught:
        scene.run(cluster["Endpoint"], mode)
    assert (
        "Blue/green deployment upgrade of RDS cluster main is"
        f" {status.lower().replace('_', ' ')}, and does not replicate schema changes."
    ) == str(caught.value)
    assert {} == list_snapshots(rds)


@pytest.mark.parametrize("status", ["SWITCHOVER_COMPLETED", "DELETING"])
def test_finished_deployment_is_ignored(scene: Scene, rds: Any, status: str) -> None:
    """A deployment that was switched over, or is being deleted, does not matter."""
    instance = create_instance(rds)
    deploy(scene, make_deployment(instance["DBInstanceArn"], status, "Target"))
    scene.run(instance["Endpoint"]["Address"], RECORD)
    assert "point_in_time" == scene.backup["kind"]


def test_deployment_of_rds_is_found_and_over_after_its_switchover(scene: Scene, rds: Any) -> None:
    """A deployment created by the API is found, and ignored after its switchover."""
    instance = create_instance(rds)
    host = instance["Endpoint"]["Address"]
    made = rds.create_blue_green_deployment(
        BlueGreenDeploymentName="upgrade", Source=instance["DBInstanceArn"]
    )["BlueGreenDeployment"]
    with pytest.raises(TargetUnsuitable, match="upgrade of RDS instance single is available"):
        scene.run(host, None)
    identifier = made["BlueGreenDeploymentIdentifier"]
    rds.switchover_blue_green_deployment(BlueGreenDeploymentIdentifier=identifier)
    (now,) = (
        found
        for found in rds.describe_db_instances()["DBInstances"]
        if found["DBInstanceIdentifier"] == "single"
    )
    scene.run(now["Endpoint"]["Address"], None)
    assert "single" == scene.backup["source"]["identifier"]


@pytest.mark.parametrize(
    ("mode", "kind", "warnings"),
    [(None, "point_in_time", 0), (RECORD, "point_in_time", 1), (SNAPSHOT, "snapshot", 1)],
)
def test_missing_right_to_list_deployments_stops_no_run(
    scene: Scene, rds: Any, mode: BackupMode | None, kind: str, warnings: int
) -> None:
    """The backup is made anyway, and only an explicit mode warns about the missing permission."""
    host = create_of(rds, "aurora")
    scene.rds.errors["describe_blue_green_deployments"] = [answer_error("AccessDenied")]
    found = scene.run(host, mode)
    assert (kind, warnings) == (scene.backup["kind"], len(found.warnings))
    told = found.warnings or [fields["reason"] for fields in scene.emitted("backup_skipped")]
    assert told[0].startswith("Blue/green deployments of the database could not be checked: ")
    assert warnings == sum("rds:DescribeBlueGreenDeployments" in text for text in found.warnings)
