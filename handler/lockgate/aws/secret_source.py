"""Reads a secret and creates IAM tokens for `access`, which imports this module only if needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lockgate.aws.call import Call, region_of
from lockgate.aws.clients import translated
from lockgate.aws.endpoints import find_endpoint, find_resource
from lockgate.aws.parts import SecretStage
from lockgate.aws.rds_host import find_region
from lockgate.aws.secrets import check_secret_id, read_secret

if TYPE_CHECKING:
    from lockgate.aws.call import ClientFactory
    from lockgate.aws.endpoints import Discovered, Resource
    from lockgate.aws.parts import ConnectionParts
    from lockgate.aws.secrets import Secret
    from lockgate.core.endpoint import Endpoint


class SecretSource:
    """One secret, fetched again each time it is asked for.

    Raises:
        SettingInvalid: the id is neither the ARN nor the name of a secret.
    """

    def __init__(self, secret_id: str, clients: ClientFactory) -> None:
        self._id = check_secret_id(secret_id)
        self._clients = clients
        self._client: Any = clients("secretsmanager", region_of(self._id))
        self._secret: Secret | None = None
        self._current_version: str | None = None
        self._discovered: Discovered | None = None

    def read(self, stage: SecretStage, *, has_host: bool) -> tuple[ConnectionParts, str] | None:
        """Return the fields of the secret at a stage, and a text that names their origin.

        Without a host in the secret or in the settings (``has_host``), RDS is asked for the endpoint.
        ``None`` for `PENDING` if no rotation is in progress.

        Raises:
            CredentialsRejected: the secret cannot be fetched.
            DatabaseUnreachable: RDS has no endpoint for the secret's database.
        """
        secret = read_secret(self._client, self._id, stage)
        if secret is None:
            return None
        self._secret = secret
        if stage is SecretStage.CURRENT:
            self._current_version = secret.version_id
        elif secret.version_id == self._current_version:
            # After a rotation both stages may be on one version, which has been tried already.
            return None
        if has_host or secret.parts.host is not None:
            return secret.parts, secret.origin
        return self._with_endpoint(secret), secret.origin

    def find_resource(self) -> Resource | None:
        """Return the RDS instance or cluster of the secret that was read last.

        Raises:
            CredentialsRejected: the secret's description may not be read.
        """
        return None if self._secret is None else find_resource(self._secret, self._client)

    def _with_endpoint(self, secret: Secret) -> ConnectionParts:
        if self._discovered is None:
            self._discovered = find_endpoint(secret, self._client, self._clients)
        found, parts = self._discovered, secret.parts
        return replace(
            parts,
            host=found.host,
            port=found.port if parts.port is None else parts.port,
            dbname=found.dbname if parts.dbname is None else parts.dbname,
        )


def make_iam_token(endpoint: Endpoint, username: str, clients: ClientFactory) -> str:
    """Return a token with which an IAM user signs in instead of a password.

    Raises:
        CredentialsRejected: this process has no valid AWS credentials.
    """
    rds = clients("rds", find_region(endpoint.host))
    with translated(Call("The IAM token", "rds-db:connect", "rds")):
        token: str = rds.generate_db_auth_token(
            DBHostname=endpoint.host, Port=endpoint.port, DBUsername=username
        )
    return token
