"""The result of a command on the terminal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exit status and output of one command."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The report printed by --json."""
        value: dict[str, Any] = json.loads(self.out)
        return value
