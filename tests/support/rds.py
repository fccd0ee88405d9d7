"""An RDS client whose snapshots take time or fail; all other calls go to a wrapped client."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

_NOUNS = ("DBClusterSnapshot", "DBSnapshot")


def answer_error(code: str, message: str = "said so") -> ClientError:
    """Return the exception for an AWS error code."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


class ScriptedRds:
    """Wraps a client. New snapshots go through ``states``, one further with each look.

    ``errors`` lists exceptions that operations raise, in order, instead of answering; those under
    ``look`` are raised by any look at one snapshot. ``answers`` replace the client's answers.
    ``calls`` counts the operations.
    """

    def __init__(self, client: Any, *states: tuple[str, int]) -> None:
        self.client = client
        self.states = list(states)
        self.errors: dict[str, list[Exception]] = defaultdict(list)
        self.answers: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()
        self._left: dict[str, list[tuple[str, int]]] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**parameters: Any) -> Any:
            self.calls[name] += 1
            is_look = name.startswith("describe_") and any(
                f"{noun}Identifier" in parameters for noun in _NOUNS
            )
            for failing in (name, "look") if is_look else (name,):
                if self.errors[failing]:
                    raise self.errors[failing].pop(0)
            if name in self.answers:
                return self.answers[name]
            answer = getattr(self.client, name)(**parameters)
            for noun in _NOUNS:
                if name.startswith("create_") and noun in answer:
                    self._left[answer[noun][f"{noun}Identifier"]] = list(self.states)
                self._age(answer, noun, is_look=is_look)
            return answer

        return call

    def _age(self, answer: Any, noun: str, *, is_look: bool) -> None:
        found = [answer[noun]] if noun in answer else answer.get(f"{noun}s", [])
        for snapshot in found:
            left = self._left.get(snapshot[f"{noun}Identifier"])
            if left:
                # The last state remains; listing does not advance a snapshot.
                if is_look and len(left) > 1:
                    left.pop(0)
                snapshot["Status"], snapshot["PercentProgress"] = left[0]
