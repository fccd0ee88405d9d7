"""Detects which caller sent an event, by one key each. Imports no caller."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.core.policy import CfnResponse

if TYPE_CHECKING:
    from lockgate.settings import Settings


class CallerKind(StrEnum):
    """The kinds of callers, by the names that are recorded with a run."""

    CODEPIPELINE = "codepipeline"
    CODEDEPLOY = "codedeploy"
    CLOUDFORMATION = "cloudformation"
    TERRAFORM = "terraform"
    DIRECT = "direct"


_AWAITING = frozenset({CallerKind.CODEPIPELINE, CallerKind.CODEDEPLOY, CallerKind.CLOUDFORMATION})


def is_awaiting(kind: CallerKind, settings: Settings) -> bool:
    """Return whether a caller waits for its own answer instead of the function's return value.

    CloudFormation does not if a framework answers it (``LOCKGATE_CFN_RESPONSE=return``).
    """
    is_returned = settings.cfn_response is CfnResponse.RETURN
    return kind in _AWAITING and not (kind is CallerKind.CLOUDFORMATION and is_returned)


def detect_caller(event: object) -> CallerKind:
    """Return which caller sent an event.

    An unknown event counts as a direct command, which rejects it with a clear message.
    """
    if not isinstance(event, dict):
        return CallerKind.DIRECT
    if "CodePipeline.job" in event:
        return CallerKind.CODEPIPELINE
    if "LifecycleEventHookExecutionId" in event and "DeploymentId" in event:
        return CallerKind.CODEDEPLOY
    if "RequestType" in event and "StackId" in event:
        return CallerKind.CLOUDFORMATION
    if isinstance(event.get("tf"), dict):
        return CallerKind.TERRAFORM
    return CallerKind.DIRECT
