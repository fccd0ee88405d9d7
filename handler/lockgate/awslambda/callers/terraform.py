"""Terraform's ``aws_lambda_invocation`` with ``lifecycle_scope = "CRUD"``: a command and what happens.

The provider adds ``tf`` to the input: ``action`` is ``create``, ``update`` or ``delete``, and
``prev_input`` what the input was before. The result is the report. Terraform prints an error as it
comes, so that is a sentence. With the scope ``CREATE_ONLY`` there is no ``tf``: it is a direct command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.awslambda.callers.detect import CallerKind
from lockgate.awslambda.callers.direct import class_of
from lockgate.awslambda.callers.direct import read_request as read_command
from lockgate.awslambda.callers.reason import fit_bytes, make_reason
from lockgate.core.request import Caller
from lockgate.errors import RequestInvalid
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.core.request import Request
    from lockgate.errors import LockgateError
    from lockgate.settings import Settings

_KEY = "tf"
_CHANGES = frozenset({"create", "update"})
_MAX_MESSAGE_BYTES = 4_096


def is_deletion(event: Mapping[str, Any]) -> bool:
    """Return whether the resource is destroyed, which leaves the database be."""
    return bool(event[_KEY].get("action") == "delete")


def report_deletion(run_id: str) -> Report:
    """Return the report of a destroyed resource: a success in every case, or it could not go."""
    return Report(
        status=Status.UP_TO_DATE,
        action=None,
        run_id=run_id,
        caller=CallerKind.TERRAFORM,
        warnings=("The resource was destroyed. The database was left as it is.",),
    )


def read_request(event: Mapping[str, Any], settings: Settings) -> Request:
    """Return the request of the command beside ``tf``.

    Raises:
        RequestInvalid: ``tf`` names no action of Terraform's, or the rest is no command.
    """
    change = event[_KEY].get("action")
    if not isinstance(change, str) or change not in _CHANGES:
        raise RequestInvalid(
            "The event's tf.action is not create, update or delete.",
            hint='Set lifecycle_scope = "CRUD" in aws_lambda_invocation, and leave tf to the provider.',
        )
    command = {key: value for key, value in event.items() if key != _KEY}
    return read_command(command, settings, Caller(CallerKind.TERRAFORM, {"tf_action": change}))


def answer(report: Report) -> dict[str, Any]:
    """Return what the function returns for a successful run.

    Raises:
        LockgateError: the run did not succeed. The class is that of a direct command; the message says
            in one line what failed, where the database stands and what to do. The log has the report.
    """
    if not report.is_success:
        raise _to_exception(report)
    return report.to_json()


def _to_exception(report: Report) -> LockgateError:
    hint = report.error.hint if report.error is not None else None
    reason = fit_bytes(make_reason(report), _MAX_MESSAGE_BYTES)
    return class_of(report)(reason, hint=hint, run_id=report.run_id)
