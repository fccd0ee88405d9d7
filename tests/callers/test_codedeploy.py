"""What only CodeDeploy has: a hook's id that is a secret, so that only its digest identifies the hook.

What it has in common with other callers is in `test_awaiting`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lockgate.awslambda.callers.codedeploy import open_hook
from lockgate.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.awslambda.callers.awaiting import Invocation


def test_reference_has_the_deployment_and_a_digest(
    read_event: Callable[[str], dict[str, Any]], invocation: Invocation
) -> None:
    """The reference contains the deployment and a digest of the hook's id."""
    alone = replace(invocation, clients=lambda _service, _region: None)
    hook = open_hook(read_event("codedeploy"), alone)
    reference = hook.read_request(Settings()).caller.reference
    assert ("d-ABCDEF123", 16) == (reference["deployment_id"], len(reference["hook_digest"]))
    assert {"deployment_id", "hook_digest"} == reference.keys()
