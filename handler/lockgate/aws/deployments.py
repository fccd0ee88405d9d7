"""Blue/green deployments of a database. A change made during one is lost, so it is refused.

PostgreSQL's logical replication carries no DDL: the green side would be switched to without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.aws.clients import translated
from lockgate.aws.rds import RdsDatabase, asking
from lockgate.errors import TargetUnsuitable

if TYPE_CHECKING:
    from collections.abc import Iterator

# The others stand in the way; one that cannot be switched over may be mended and switched later.
_OVER = frozenset({"SWITCHOVER_COMPLETED", "DELETING", "DELETED"})


def refuse_deployment(database: RdsDatabase) -> None:
    """Refuse a database that an active blue/green deployment is of, on either side.

    Raises:
        TargetUnsuitable: there is such a deployment.
        BackupFailed: RDS does not say.
    """
    for deployment in _list_deployments(database):
        sides = {deployment.get("Source"), deployment.get("Target")}
        if database.arn in sides and deployment.get("Status") not in _OVER:
            raise TargetUnsuitable(
                f"Blue/green deployment {deployment.get('BlueGreenDeploymentName')} of"
                f" {database.resource} is {_say(deployment.get('Status'))}, and does not replicate"
                " changes to the schema.",
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
