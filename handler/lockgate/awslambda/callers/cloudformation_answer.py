"""Makes the answer to CloudFormation, within its limit of 4,096 bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lockgate.awslambda.callers.direct_answer import to_exception
from lockgate.awslambda.callers.reason import fit_text, make_reason, to_one_line
from lockgate.errors import LockgateError, public_class
from lockgate.report.report import Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.awslambda.callers.cloudformation import Envelope

MAX_ANSWER_BYTES = 4_096

_MAX_DATA_CHARACTERS = 100
# A framework adds ids, the name of a log and a stack trace, and ignores the limit.
_MAX_RETURNED_BYTES = 2_000


def make_answer(envelope: Envelope, outcome: Report | LockgateError | None) -> dict[str, Any]:
    """Return an answer within the limit; ``None`` is the outcome of a Delete.

    A success contains ``Data`` and a failure ``Reason``, never both: CloudFormation ignores the
    other one, which would only take room.
    """
    is_success = outcome is None or (isinstance(outcome, Report) and outcome.is_success)
    value: dict[str, Any] = {
        "Status": "SUCCESS" if is_success else "FAILED",
        "PhysicalResourceId": envelope.physical_id,
        "StackId": envelope.stack_id,
        "RequestId": envelope.request_id,
        "LogicalResourceId": envelope.logical_id,
    }
    if outcome is None:
        return value
    if isinstance(outcome, Report) and outcome.is_success:
        return _with_data(value, outcome)
    return _with_reason(value, make_reason(outcome))


def encode_answer(answer: Mapping[str, Any]) -> bytes:
    """Return the answer as it is sent: JSON in UTF-8, at most `MAX_ANSWER_BYTES`."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def returned_answer(envelope: Envelope, outcome: Report | LockgateError | None) -> dict[str, Any]:
    """Return the answer to a framework that answers CloudFormation itself (CDK Provider).

    Raises:
        LockgateError: the outcome is a failure. The framework uses the message as the reason, so it is a
            short text instead of a report. The class is a public one.
    """
    if outcome is None:
        return {"PhysicalResourceId": envelope.physical_id}
    if isinstance(outcome, Report) and outcome.is_success:
        return {"PhysicalResourceId": envelope.physical_id, "Data": make_data(outcome)}
    error = to_exception(outcome) if isinstance(outcome, Report) else outcome
    text = fit_text(make_reason(outcome), _fits_behind_framework)
    raise public_class(error)(text, hint=error.hint) from None


def _fits_behind_framework(text: str) -> bool:
    return len(json.dumps(text, ensure_ascii=False).encode()) <= _MAX_RETURNED_BYTES


def make_data(report: Report) -> dict[str, str]:
    """Return the attributes for ``Fn::GetAtt``: always the same keys, ``""`` if unknown."""
    return {
        "Status": report.status.value,
        "RunId": report.run_id,
        "FromVersion": report.from_version or "",
        "ToVersion": report.to_version or "",
        "AppliedCount": str(len(report.applied)),
        "PendingCount": str(len(report.pending)),
        "RevertedCount": str(len(report.reverted)),
    }


def _with_data(value: dict[str, Any], report: Report) -> dict[str, Any]:
    # Values are cut, keys never: a template that refers to a missing key fails.
    length = _MAX_DATA_CHARACTERS
    while True:
        data = {key: to_one_line(text)[:length] for key, text in make_data(report).items()}
        answer = {**value, "Data": data}
        if length == 0 or len(encode_answer(answer)) <= MAX_ANSWER_BYTES:
            return answer
        length //= 2


def _with_reason(value: dict[str, Any], reason: str) -> dict[str, Any]:
    def fits(text: str) -> bool:
        return len(encode_answer({**value, "Reason": text})) <= MAX_ANSWER_BYTES

    return {**value, "Reason": fit_text(reason, fits)}
