"""Lists, requests, reads and deletes snapshots of one cluster or instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.aws.clients import translated
from lockgate.aws.endpoints import ResourceKind
from lockgate.aws.rds import RdsDatabase, asking
from lockgate.core.snapshot import Snapshot
from lockgate.errors import BackupFailed
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class _Family:
    """RDS's names for the snapshots of a cluster, or of an instance."""

    noun: str
    operation: str
    listed: str
    source_key: str
    id_key: str
    arn_key: str
    exists: str
    busy: tuple[str, ...]
    gone: str


_FAMILIES = {
    ResourceKind.CLUSTER: _Family(
        noun="DBClusterSnapshot",
        operation="db_cluster_snapshot",
        listed="DBClusterSnapshots",
        source_key="DBClusterIdentifier",
        id_key="DBClusterSnapshotIdentifier",
        arn_key="DBClusterSnapshotArn",
        exists="DBClusterSnapshotAlreadyExistsFault",
        busy=("InvalidDBClusterStateFault", "InvalidDBClusterSnapshotStateFault"),
        gone="DBClusterSnapshotNotFoundFault",
    ),
    ResourceKind.INSTANCE: _Family(
        noun="DBSnapshot",
        operation="db_snapshot",
        listed="DBSnapshots",
        source_key="DBInstanceIdentifier",
        id_key="DBSnapshotIdentifier",
        arn_key="DBSnapshotArn",
        exists="DBSnapshotAlreadyExists",
        busy=("InvalidDBInstanceState",),
        gone="DBSnapshotNotFound",
    ),
}


class Snapshots:
    """The manual snapshots of a database on RDS.

    Every method raises `BackupFailed` if RDS refuses or cannot be reached.
    """

    def __init__(self, database: RdsDatabase) -> None:
        self._database = database
        self._family = _FAMILIES[database.resource.kind]

    def list(self) -> list[Snapshot]:
        """Return all manual snapshots of the database, including those that Lockgate did not take."""
        return list(self._list())

    def read(self, identifier: str) -> Snapshot:
        """Return the current state of a snapshot."""
        try:
            found = self._describe(**{self._family.id_key: identifier})[self._family.listed]
        except BackupFailed as error:
            if error.fields.get("aws_code") == self._family.gone:
                raise self._lost(identifier) from error
            raise
        if not found:
            raise self._lost(identifier)
        if found[0][self._family.source_key] != self._database.resource.identifier:
            raise BackupFailed(
                f"Snapshot {identifier} exists already, and is not of {self._database.resource}.",
                hint="Invoke again: the next run uses another name.",
            )
        return self._read(found[0])

    def ask(self, identifier: str, tags: Mapping[str, str]) -> Snapshot | None:
        """Request a snapshot; ``None`` if the database is busy with something else.

        If a snapshot of that name exists, this run requested it: the client repeated the call.
        """
        family = self._family
        try:
            answer = self._call(
                "create",
                f"Snapshot {identifier} of {self._database.resource}",
                "taken",
                **{
                    family.id_key: identifier,
                    family.source_key: self._database.resource.identifier,
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                },
            )
        except BackupFailed as error:
            code = error.fields.get("aws_code")
            if code == family.exists:
                return self.read(identifier)
            if code in family.busy:
                return None
            raise
        return self._read(answer[family.noun])

    def delete(self, identifier: str) -> bool:
        """Delete a snapshot; return False if it was deleted before."""
        try:
            self._call(
                "delete", f"Snapshot {identifier}", "deleted", **{self._family.id_key: identifier}
            )
        except BackupFailed as error:
            if error.fields.get("aws_code") == self._family.gone:
                return False
            raise
        return True

    def _list(self) -> Iterator[Snapshot]:
        family, marker = self._family, ""
        while True:
            paging = {"Marker": marker} if marker else {}
            answer = self._describe(
                **{family.source_key: self._database.resource.identifier},
                SnapshotType="manual",
                **paging,
            )
            yield from (self._read(found) for found in answer[family.listed])
            marker = answer.get("Marker", "")
            if not marker:
                return

    def _describe(self, **parameters: Any) -> Any:
        return self._call(
            "describe", f"Snapshots of {self._database.resource}", "listed", **parameters
        )

    def _call(self, action: str, subject: str, verb: str, **parameters: Any) -> Any:
        plural = "s" if action == "describe" else ""
        noun = f"{self._family.noun}{plural}"
        permission = f"rds:{action.capitalize()}{noun}"
        if action == "create":
            permission += " and rds:AddTagsToResource"
        call = asking(subject, permission, verb)
        with translated(call):
            operation = getattr(self._database.client, f"{action}_{self._family.operation}{plural}")
            return operation(**parameters)

    def _read(self, found: Any) -> Snapshot:
        return Snapshot(
            identifier=found[self._family.id_key],
            arn=found[self._family.arn_key],
            status=found.get("Status", "unknown"),
            percent=found.get("PercentProgress"),
            created_at=found.get("SnapshotCreateTime"),
            is_manual=found.get("SnapshotType", "manual") == "manual",
            tags={tag["Key"]: tag.get("Value", "") for tag in found.get("TagList", [])},
        )

    def _lost(self, identifier: str) -> BackupFailed:
        return BackupFailed(
            f"Snapshot {identifier} of {self._database.resource} is gone; it was deleted.",
            hint="Invoke again: the next run takes another snapshot.",
            aws_code=self._family.gone,
        )
