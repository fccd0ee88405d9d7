"""The context object that Lambda passes to a handler, with a clock that tests control."""

from __future__ import annotations

from dataclasses import dataclass, field

FUNCTION_NAME = "lockgate-Migrate-1A2B3C4D5E6F"
FUNCTION_ARN = f"arn:aws:lambda:eu-west-1:123456789012:function:{FUNCTION_NAME}"


@dataclass(slots=True)
class ManualClock:
    """A clock in milliseconds that advances only when a test says so."""

    now_ms: int = 0

    def advance(self, milliseconds: int) -> None:
        """Advance the clock."""
        self.now_ms += milliseconds


@dataclass(slots=True)
class LambdaContext:
    """What a handler can learn about its invocation. ``deadline_ms`` refers to ``clock``."""

    aws_request_id: str = "8f5a1e7c-0000-4000-8000-000000000001"
    function_name: str = FUNCTION_NAME
    function_version: str = "$LATEST"
    invoked_function_arn: str = FUNCTION_ARN
    memory_limit_in_mb: int = 512
    log_group_name: str = f"/aws/lambda/{FUNCTION_NAME}"
    log_stream_name: str = "2026/11/22/[$LATEST]0123456789abcdef"
    deadline_ms: int = 900_000
    clock: ManualClock = field(default_factory=ManualClock)

    def get_remaining_time_in_millis(self) -> int:
        """Return the invocation's remaining time; never less than 0, as in Lambda."""
        return max(0, self.deadline_ms - self.clock.now_ms)
