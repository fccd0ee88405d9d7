"""What cdk-nag finds here and is meant to be so, with the reason. It need not be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Acknowledgment, Validations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constructs import IConstruct

_RDS = "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:rds:<AWS::Region>:<AWS::AccountId>"
_DESCRIBED = "It is only described, and its name is not known before the deploy."
_NAMED = "It is for snapshots under names of Lockgate's."
_OF_ANY = "A snapshot is of the database behind the host, which is not known before the deploy."

FUNCTION = {
    "AwsSolutions-L1": "The package holds byte code of this runtime's Python.",
}
REACH_DATABASE = {
    "AwsSolutions-IAM5[Resource::*]": "Network interfaces know no narrower resource; Lambda itself"
    " makes them, and the functions' code is denied them.",
    f"{_RDS}:cluster:*]": _DESCRIBED,
    f"{_RDS}:db:*]": _DESCRIBED,
}
BACK_UP = {
    f"{_RDS}:*]": _DESCRIBED,
    f"{_RDS}:cluster:*]": _OF_ANY,
    f"{_RDS}:db:*]": _OF_ANY,
    f"{_RDS}:cluster-snapshot:lockgate-*]": _NAMED,
    f"{_RDS}:snapshot:lockgate-*]": _NAMED,
}
ANSWERS = {
    "answer-codepipeline": {
        "AwsSolutions-IAM5[Resource::*]": "A job of CodePipeline has no ARN.",
    },
    "answer-codedeploy": {
        "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:codedeploy:<AWS::Region>:<AWS::AccountId>"
        ":deploymentgroup:*]": "Only the event says which deployment asks.",
    },
}
ENDPOINT = {
    "AwsSolutions-EC23": "Who is let in is the VPC itself, whose range is not known before the deploy.",
}


def accept_findings(construct: IConstruct, findings: Mapping[str, str]) -> None:
    """Acknowledge each finding with its reason, for whoever reviews the app."""
    for finding, reason in findings.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))
