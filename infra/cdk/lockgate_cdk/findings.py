"""The findings of cdk-nag that are accepted, each with its reason. cdk-nag need not be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Acknowledgment, Validations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constructs import IConstruct

_RDS = "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:rds:<AWS::Region>:<AWS::AccountId>"
_DESCRIBED = "The permission only describes, and the name is not known before the deploy."
_NAMED = "The permission is for snapshots with Lockgate's names."
_OF_ANY = "A snapshot is of the host's database, which is not known before the deploy."

FUNCTION = {
    "AwsSolutions-L1": "The package contains byte code for this runtime's Python.",
}
REACH_DATABASE = {
    "AwsSolutions-IAM5[Resource::*]": "These actions accept no narrower resource. Lambda itself uses"
    " them; they are denied to the functions' code.",
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
        ":deploymentgroup:*]": "Only the event contains the deployment.",
    },
}
ENDPOINT = {
    "AwsSolutions-EC23": "The group admits the VPC itself, whose range is not known before the deploy.",
}


def accept_findings(construct: IConstruct, findings: Mapping[str, str]) -> None:
    """Acknowledge each finding with its reason, which a reviewer of the app can read."""
    for finding, reason in findings.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))
