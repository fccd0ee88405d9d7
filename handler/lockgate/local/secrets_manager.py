"""A Secrets Manager on this machine: moto's server, with one secret in memory."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from lockgate.errors import SettingInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_REGION = "eu-west-1"
_NAME = "shop/database"


class LocalSecretsManager:
    """Serves until its ``with`` block ends.

    Raises:
        SettingInvalid: moto is not installed.
    """

    def __init__(self) -> None:
        try:
            from moto.server import ThreadedMotoServer  # 300 ms, the demo's alone
        except ImportError:
            raise SettingInvalid(
                "The local Secrets Manager needs moto, which is not installed.",
                hint="pip install 'lockgate[local]'",
            ) from None
        # Otherwise it logs every request to the terminal.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._arn: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment that points an AWS client to this server, without the user's own."""
        return {
            "AWS_ENDPOINT_URL": self._url,
            "AWS_REGION": _REGION,
            "AWS_DEFAULT_REGION": _REGION,
            "AWS_ACCESS_KEY_ID": "demo",
            "AWS_SECRET_ACCESS_KEY": "demo",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def store(self, secret: Mapping[str, object]) -> str:
        """Store the secret the first time, and return its ARN."""
        if self._arn is None:
            body = {"Name": _NAME, "SecretString": json.dumps(secret)}
            self._arn = str(self._call("CreateSecret", body)["ARN"])
        return self._arn

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop()

    @property
    def _url(self) -> str:
        host, port = self._server.get_host_and_port()
        return f"http://{host}:{port}"

    def _call(self, action: str, body: dict[str, str]) -> Any:
        """Call without boto3: moto reads the region from the signature and does not verify it."""
        scope = f"demo/20260101/{_REGION}/secretsmanager/aws4_request"
        request = urllib.request.Request(  # noqa: S310 - loopback
            self._url,
            data=json.dumps(body).encode(),
            headers={
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": f"secretsmanager.{action}",
                "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}",
            },
        )
        # Without a proxy, which may not lead back to this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.closing(opener.open(request, timeout=10)) as response:
            return json.load(response)
