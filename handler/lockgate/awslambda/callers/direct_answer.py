"""The answer to a direct command: the report, or an error with the report in its message."""

from __future__ import annotations

import json
from typing import Any

from lockgate import errors
from lockgate.errors import LockgateError
from lockgate.report.report import MAX_LISTED, Report, Status, to_text

# Step Functions cuts an error's cause at 32,768 characters. The report is escaped once more in it, and
# the runtime adds its own text.
_MAX_MESSAGE = 24_000
# A CDK Trigger sends an empty event. It puts the whole message and a stack trace of its own into its
# answer to CloudFormation, which shows nothing of an answer above 4,096 bytes.
_MAX_MESSAGE_OF_EMPTY = 2_800
_LONGEST_TEXT = 4_000
# Lambda returns at most 6 MB; a history of 1,000 runs with long reasons is larger.
_MAX_RESULT = 5_500_000

_CLASS_BY_STATUS = {
    Status.BUSY: errors.DatabaseBusy,
    Status.REFUSED: errors.RequestRefused,
    Status.INCOMPLETE: errors.RunIncomplete,
}


def answer(event: object, report: Report) -> dict[str, Any]:
    """Return the function's result for a successful run, within Lambda's limit.

    Raises:
        LockgateError: the run did not succeed; see `to_exception`.
    """
    if not report.is_success:
        raise to_exception(report, _MAX_MESSAGE if event else _MAX_MESSAGE_OF_EMPTY)
    value = report.to_json()
    # Measured with escapes, the longest form that the runtime may send.
    if len(json.dumps(value)) > _MAX_RESULT:
        value = json.loads(_shorten(value, _MAX_RESULT))
    return value


def to_exception(report: Report, most: int = _MAX_MESSAGE) -> LockgateError:
    """Return the error to raise for a failed run.

    Its class is a public one, so that Lambda's ``errorType`` is a stable name. Its message is the report
    as JSON, shortened to at most ``most`` characters, so that Step Functions does not cut it. ``counts``
    keeps the full numbers.
    """
    hint = report.error.hint if report.error is not None else None
    return class_of(report)(_shorten(report.to_json(), most), hint=hint, run_id=report.run_id)


def class_of(report: Report) -> type[LockgateError]:
    """Return the public error class for a run that did not succeed."""
    if report.error is None:
        return _CLASS_BY_STATUS.get(report.status, errors.UnexpectedFailure)
    named = getattr(errors, report.error.type, None)
    if not isinstance(named, type) or not issubclass(named, LockgateError):
        return errors.UnexpectedFailure
    return errors.public_class(named(""))


def _shorten(value: dict[str, Any], most: int) -> str:
    """Return the report as JSON text of at most ``most`` characters: cut long texts, then lists.

    Without lists a report has a fixed number of texts, so this ends.
    """
    text_length, list_length = _LONGEST_TEXT, MAX_LISTED
    text = to_text(value)
    while len(json.dumps(text)) > most and text_length > 1:
        text = to_text(_cut(value, text_length, list_length))
        list_length //= 2
        if list_length == 0:
            text_length //= 2
    return text


def _cut(value: Any, text_length: int, list_length: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= text_length else f"{value[:text_length]}…"
    if isinstance(value, list):
        return [_cut(item, text_length, list_length) for item in value[:list_length]]
    if isinstance(value, dict):
        return {key: _cut(item, text_length, list_length) for key, item in value.items()}
    return value
