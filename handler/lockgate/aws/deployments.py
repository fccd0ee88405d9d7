"""Refuses a change during a blue/green deployment of the database, because it would be lost.

Logical replication does not replicate DDL: the green side would take over without the change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.aws.clients import translated
from lockgate.aws.rds import RdsDatabase, asking
from lockgate.errors import TargetUnsuitable

if TYPE_CHECKING:
    from collections.abc import Iterator

# Every other status blocks a change, since even a broken deployment may be fixed and switched over
# later.
_OVER = frozenset({"SWITCHOVER_COMPLETED", "DELETING", "DELETED"})


def refuse_deployment(database: RdsDatabase) -> None:
    """Refuse a database that is the source or the target of an active blue/green deployment.

    Raises:
        TargetUnsuitable: there is such a deployment.
        BackupFailed: RDS cannot be asked.
    """
    for deployment in _list_deployments(database):
        sides = {deployment.get("Source"), deployment.get("Target")}
        if database.arn in sides and deployment.get("Status") not in _OVER:
            raise TargetUnsuitable(
                f"Blue/green deployment {deployment.get('BlueGreenDeploymentName')} of"
                f" {database.resource} is {_say(deployment.get('Status'))}, and does not replicate"
                " schema changes.",
                hint="Switch over or delete the deployment, then invoke again.",
                deployment=deployment.get("BlueGreenDeploymentIdentifier"),
            )


def _list_deployments(database: RdsDatabase) -> Iterator[Any]:
    call = asking(
        f"Blue/green deployments of {database.resource}",
        "rds:DescribeBlueGreenDeployments",
        verb="listed",
    )
    marker = ""
    while True:
        with translated(call):
            paging = {"Marker": marker} if marker else {}
            answer = database.client.describe_blue_green_deployments(**paging)
        yield from answer["BlueGreenDeployments"]
        marker = answer.get("Marker", "")
        if not marker:
            return


def _say(status: str | None) -> str:
    return "active" if status is None else status.lower().replace("_", " ")
