"""Combines settings, URL, secret and IAM into one `Access`, without connecting to the database.

The order of precedence for each field::

    host, port, dbname, username   setting > secret, or URL > description from RDS > default
    password                       IAM token if asked for > secret, or URL
    tls                            sslmode of the URL > setting
"""

from __future__ import annotations

from getpass import getuser
from typing import TYPE_CHECKING, Any, Literal, overload

from lockgate.aws.clients import make_client
from lockgate.aws.database_url import parse_database_url
from lockgate.aws.parts import ConnectionParts, SecretStage, parse_host
from lockgate.core.endpoint import Access, Credentials, Endpoint, is_socket
from lockgate.core.policy import Tls
from lockgate.errors import CredentialsRejected, SettingInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from types import ModuleType

    from lockgate.aws.call import ClientFactory
    from lockgate.aws.endpoints import Resource
    from lockgate.aws.secret_source import SecretSource
    from lockgate.settings import Settings

_DEFAULT_PORT = 5432
_DEFAULT_DBNAME = "postgres"


@dataclass(frozen=True, slots=True)
class _Source:
    parts: ConnectionParts
    origin: str


class AccessSource:
    """Finds the access to the database that the settings describe, anew on each call.

    After a rejected password, `SecretStage.CURRENT` is read once more, because the secret may have been
    rotated. Then `SecretStage.PENDING` is tried: a rotation sets the password in the database before it
    moves the stage.
    """

    def __init__(self, settings: Settings, clients: ClientFactory = make_client) -> None:
        self._settings = settings
        self._clients = clients
        self._secret: SecretSource | None = None

    @overload
    def access(self, stage: Literal[SecretStage.CURRENT]) -> Access: ...

    @overload
    def access(self, stage: SecretStage) -> Access | None: ...

    def access(self, stage: SecretStage) -> Access | None:
        """Return the access at a stage; ``None`` for `PENDING` if no rotation is in progress.

        Raises:
            SettingInvalid: the settings give no host, user or password, or an invalid one.
            CredentialsRejected: the secret or the IAM token cannot be read.
            DatabaseUnreachable: RDS knows no endpoint for the secret's database.
        """
        source = self._find(stage)
        return None if source is None else self._complete(source)

    def find_resource(self) -> Resource | None:
        """Return the RDS instance or cluster that the secret of the last `access` belongs to.

        ``None`` if there is no secret, or if neither its content nor its tags name one.

        Raises:
            CredentialsRejected: the secret's description may not be read.
        """
        return None if self._secret is None else self._secret.find_resource()

    def _find(self, stage: SecretStage) -> _Source | None:
        if self._settings.secret_arn is not None:
            return self._find_in_secret(self._settings.secret_arn, stage)
        if stage is SecretStage.PENDING:
            return None
        if self._settings.database_url is not None:
            name = "LOCKGATE_DATABASE_URL"
            return _Source(parse_database_url(self._settings.database_url, name), name)
        if self._settings.iam_auth:
            return _Source(ConnectionParts(), "the settings")
        raise SettingInvalid(
            "No database is given: LOCKGATE_SECRET_ARN, LOCKGATE_DATABASE_URL and LOCKGATE_IAM_AUTH"
            " are not set.",
            hint="Set LOCKGATE_SECRET_ARN for a function; in a terminal, use --local, --database-url or"
            " --secret.",
            setting="LOCKGATE_SECRET_ARN",
        )

    def _find_in_secret(self, secret_id: str, stage: SecretStage) -> _Source | None:
        if self._secret is None:
            self._secret = _import_aws().SecretSource(secret_id, self._clients)
        if stage is SecretStage.PENDING and self._settings.iam_auth:
            return None
        found = self._secret.read(stage, has_host=self._settings.host is not None)
        return None if found is None else _Source(*found)

    def _complete(self, source: _Source) -> Access:
        settings, parts = self._settings, source.parts
        host, port = _read_host(settings.host, settings.port)
        host, port = _first(host, parts.host), _first(port, parts.port)
        username = _first(settings.username, parts.username)
        if username is None and host is not None and is_socket(host):
            username = _os_user()
        if host is None:
            raise _missing("host", "LOCKGATE_HOST", source.origin)
        if username is None:
            raise _missing("user", "LOCKGATE_USERNAME", source.origin)
        endpoint = Endpoint(
            host=host,
            port=port or _DEFAULT_PORT,
            dbname=_first(settings.dbname, parts.dbname) or _DEFAULT_DBNAME,
        )
        tls = _first(parts.tls, settings.tls)
        if settings.iam_auth:
            return Access(endpoint, self._sign_in(endpoint, username, tls), tls)
        return Access(endpoint, self._with_password(source, username), tls)

    def _with_password(self, source: _Source, username: str) -> Credentials:
        password = source.parts.password
        if password is None and self._settings.secret_arn is not None:
            raise CredentialsRejected(
                f"There is no password in {source.origin}.",
                hint="Add password to the secret, or set LOCKGATE_IAM_AUTH=true to sign in without one.",
            )
        # A URL without a password is for servers that need none.
        return Credentials(username, password or "", source.origin)

    def _sign_in(self, endpoint: Endpoint, username: str, tls: Tls) -> Credentials:
        if tls is Tls.OFF:
            raise SettingInvalid(
                "An IAM token is only accepted over TLS, and TLS is off.",
                hint="Set LOCKGATE_TLS=verify-full, or LOCKGATE_IAM_AUTH=false.",
                setting="LOCKGATE_TLS",
            )
        token = _import_aws().make_iam_token(endpoint, username, self._clients)
        return Credentials(username, token, f"IAM token for {username}")


def _read_host(text: str | None, port: int | None) -> tuple[str | None, int | None]:
    """Return host and port of the settings; the host may have a port.

    Raises:
        SettingInvalid: it is not a host name or address, or its port differs from the setting's.
    """
    if text is None:
        return None, port
    found = parse_host(text)
    if found is None or (found[1] is not None and port not in {None, found[1]}):
        raise SettingInvalid(
            "LOCKGATE_HOST is not a host name or address, or its port differs from LOCKGATE_PORT.",
            hint="Set LOCKGATE_HOST to the host alone, and LOCKGATE_PORT to the port; a whole URL"
            " belongs in LOCKGATE_DATABASE_URL.",
            setting="LOCKGATE_HOST",
        )
    return found[0], found[1] if port is None else port


def _os_user() -> str | None:
    """Return the name of this process's user, which peer authentication over a socket expects."""
    try:
        return getuser()
    except (KeyError, OSError):
        return None


def _first(preferred: Any, otherwise: Any) -> Any:
    return otherwise if preferred is None else preferred


def _missing(field: str, setting: str, origin: str) -> SettingInvalid:
    return SettingInvalid(
        f"No {field} is given: there is none in {origin}, and {setting} is not set.",
        hint=f"Set {setting}.",
        setting=setting,
    )


def _import_aws() -> ModuleType:
    from lockgate.aws import secret_source  # the door to secrets, endpoints and IAM

    return secret_source
