"""Events are assigned to callers by a key that identifies each caller."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.awslambda.callers.detect import CallerKind, detect_caller

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cloudformation_create", CallerKind.CLOUDFORMATION),
        ("cloudformation_update", CallerKind.CLOUDFORMATION),
        ("cloudformation_delete", CallerKind.CLOUDFORMATION),
        ("direct_up", CallerKind.DIRECT),
        ("console_default", CallerKind.DIRECT),
        ("codepipeline", CallerKind.CODEPIPELINE),
        ("codedeploy", CallerKind.CODEDEPLOY),
        ("terraform_crud", CallerKind.TERRAFORM),
        ("terraform_delete", CallerKind.TERRAFORM),
        ("terraform_create_only", CallerKind.DIRECT),
        ("step_functions", CallerKind.DIRECT),
        ("cdk_trigger", CallerKind.DIRECT),
        ("eventbridge_schedule", CallerKind.DIRECT),
        ("sqs", CallerKind.DIRECT),
    ],
)
def test_stored_event_is_told_apart(
    read_event: Callable[[str], Any], name: str, expected: CallerKind
) -> None:
    """CloudFormation needs both of its keys; any other event is treated as a direct command."""
    assert expected is detect_caller(read_event(name))


JOB: dict[str, object] = {"CodePipeline.job": {}}
HOOK = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "x"}
STACK = {"RequestType": "Create", "StackId": "x"}
TF: dict[str, object] = {"tf": {"action": "create"}}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({**TF, **STACK, **HOOK, **JOB}, CallerKind.CODEPIPELINE),
        ({**TF, **STACK, **HOOK}, CallerKind.CODEDEPLOY),
        ({**TF, **STACK}, CallerKind.CLOUDFORMATION),
        ({**TF, "action": "up"}, CallerKind.TERRAFORM),
    ],
)
def test_signs_have_an_order(event: object, expected: CallerKind) -> None:
    """A caller that waits for its own answer takes precedence."""
    assert expected is detect_caller(event)


@pytest.mark.parametrize(
    "event",
    [
        *(None, {}, [], "x", 5),
        *({"RequestType": "Create"}, {"StackId": 1}, {"DeploymentId": "d-1"}, {"tf": "create"}),
        {"LifecycleEventHookExecutionId": "x"},
    ],
)
def test_anything_else_is_direct(event: object) -> None:
    """Every other event, of any type, is treated as a direct command."""
    assert CallerKind.DIRECT is detect_caller(event)


def test_caller_is_imported_when_it_calls() -> None:
    """A direct invocation imports no other caller and no AWS client at its start."""
    script = (
        "import sys\n"
        "import lockgate.entry\n"
        "names = ('boto3', 'http.client', 'lockgate.awslambda.callers.')\n"
        "print(*sorted(name for name in sys.modules if name.startswith(names)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "handler")},
        capture_output=True,
        text=True,
        check=True,
    )
    found = [name.removeprefix("lockgate.awslambda.callers.") for name in ran.stdout.split()]
    assert [
        "awaiting",
        "delivery",
        "detect",
        "direct",
        "direct_answer",
        "emergency",
        "registry",
    ] == found
