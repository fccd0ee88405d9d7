"""Which caller an event is from. Knows each caller's sign; reads nothing else, imports no caller."""

from __future__ import annotations

from enum import StrEnum


class CallerKind(StrEnum):
    """The callers that events are told apart for, by the names that are recorded with a run."""

    CODEPIPELINE = "codepipeline"
    CODEDEPLOY = "codedeploy"
    CLOUDFORMATION = "cloudformation"
    TERRAFORM = "terraform"
    DIRECT = "direct"


# Whoever is one of these waits for an answer of its own, and not for the function's return value.
AWAITING = frozenset({CallerKind.CODEPIPELINE, CallerKind.CODEDEPLOY, CallerKind.CLOUDFORMATION})


def detect_caller(event: object) -> CallerKind:
    """Return whose event it is. What is nobody's is a direct command, which refuses it readably."""
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
