"""A stub of the context that Lambda passes to a handler."""

from __future__ import annotations

import time
import uuid
from dataclasses import field

from lockgate.fast_start.dataclass import dataclass

_NAME = "lockgate"


@dataclass(slots=True)
class DemoContext:
    """A context whose remaining time decreases like in Lambda."""

    function_name: str = _NAME
    function_version: str = "$LATEST"
    invoked_function_arn: str = f"arn:aws:lambda:eu-west-1:123456789012:function:{_NAME}"
    memory_limit_in_mb: int = 512
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    ends_at: float = field(default_factory=lambda: time.monotonic() + 900)

    def get_remaining_time_in_millis(self) -> int:
        """Return the remaining time of the invocation, never less than 0."""
        return max(0, round((self.ends_at - time.monotonic()) * 1000))
