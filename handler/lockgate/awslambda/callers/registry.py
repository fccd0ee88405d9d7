"""Finds the class of each caller. Its module is imported when the first event of that caller arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.awslambda.callers.detect import CallerKind
from lockgate.awslambda.callers.direct import DirectCaller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.awslambda.callers.awaiting import AwaitingCaller, Invocation
    from lockgate.awslambda.callers.returning import ReturningCaller
    from lockgate.settings import Settings


def open_awaiting(
    kind: CallerKind, event: Mapping[str, Any], invocation: Invocation, settings: Settings
) -> AwaitingCaller:
    """Return the caller that sent an event and waits for an answer of its own.

    Of the settings, only those about answers are read.

    Raises:
        RequestInvalid: the event does not say where to send an answer.
    """
    if kind is CallerKind.CODEPIPELINE:
        from lockgate.awslambda.callers.codepipeline_caller import open_job  # this caller's door

        return open_job(event, invocation)
    if kind is CallerKind.CODEDEPLOY:
        from lockgate.awslambda.callers.codedeploy import open_hook  # this caller's door

        return open_hook(event, invocation)
    from lockgate.awslambda.callers.cloudformation_caller import open_stack  # this caller's door

    return open_stack(event, invocation, loopback=settings.cfn_loopback)


def open_returning(kind: CallerKind, event: Any, now: float) -> ReturningCaller:
    """Return the caller that sent an event and reads what the function returns.

    CloudFormation is one of them if a framework answers it (``LOCKGATE_CFN_RESPONSE=return``).

    Raises:
        RequestInvalid: CloudFormation's event lacks a field.
    """
    if kind is CallerKind.TERRAFORM:
        from lockgate.awslambda.callers.terraform import TerraformCaller  # this caller's door

        return TerraformCaller(event)
    if kind is CallerKind.CLOUDFORMATION:
        from lockgate.awslambda.callers.cloudformation_framework import (
            open_framework,  # this caller's door
        )

        return open_framework(event, now)
    return DirectCaller(event)
