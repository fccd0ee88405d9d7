"""Invokes the function again from within, to continue a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lockgate.aws.call import Call, ClientFactory, region_of
from lockgate.aws.clients import make_client, translated
from lockgate.errors import RunIncomplete

if TYPE_CHECKING:
    from collections.abc import Mapping


def invoke_again(
    function_arn: str, event: Mapping[str, Any], clients: ClientFactory = make_client
) -> None:
    """Invoke the function asynchronously with an event.

    Raises:
        RunIncomplete: it could not be invoked.
    """
    client = clients("lambda", region_of(function_arn))
    call = Call(
        subject="The run is not done, and the function that would continue it",
        permission="lambda:InvokeFunction",
        service="lambda",
        verb="invoked",
        error_class=RunIncomplete,
    )
    with translated(call):
        client.invoke(
            FunctionName=function_arn,
            InvocationType="Event",
            Payload=json.dumps(event).encode(),
        )
