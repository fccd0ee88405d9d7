"""Settings, URL, secret and IAM brought together into one `Access`. Opens no database connection.

What only secrets or IAM need is imported where they are read.

Who goes before whom, for each field::

    host, port, dbname, username   setting > secret, else URL > RDS's description > default
    password                       IAM token where asked for > secret, else URL
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

from lockgate.aws.database_url import parse_database_url
from lockgate.aws.parts import ConnectionParts, SecretStage, parse_host
from lockgate.core.policy import Tls
from lockgate.core.target import Access, Credentials, Endpoint, is_socket
from lockgate.errors import CredentialsRejected, SettingInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.aws.clients import ClientFactory
    from lockgate.aws.endpoints import Discovered, Resource
    from lockgate.aws.secrets import Secret
    from lockgate.settings import Settings

_DEFAULT_PORT = 5432
_DEFAULT_DBNAME = "postgres"


def make_client(service: str, region: str | None) -> Any:
    """Return a boto3 client; see `clients.make_client`. With a URL there is none to be made."""
    from lockgate.aws import clients

    return clients.make_client(service, region)


@dataclass(frozen=True, slots=True)
class _Found:
    parts: ConnectionParts
    origin: str


class AccessSource:
    """Gives the way into the database, afresh each time it is asked, and remembers what it gave.

    A rejected password is followed by `SecretStage.CURRENT` once more, since the secret may have
    moved on, then by `SecretStage.PENDING`, since a rotation sets the password in the database
    before it moves the stage.
    """

    def __init__(self, settings: Settings, clients: ClientFactory = make_client) -> None:
        self._settings = settings
        self._clients = clients
        self._secrets: Any = None
        self._secret: Secret | None = None
        self._current_version: str | None = None
        self._discovered: Discovered | None = None
        self._tls = settings.tls
        self._tried: list[str] = []

    @property
    def tried(self) -> tuple[str, ...]:
        """The origins given so far, each once: what the final error names."""
        return tuple(self._tried)

    @property
    def tls(self) -> Tls:
        """How the server must prove itself, as of the last `access`.

        The ``sslmode`` of a URL goes before ``LOCKGATE_TLS``, which holds where a URL names none.
        """
        return self._tls

    @overload
    def access(self, stage: Literal[SecretStage.CURRENT]) -> Access: ...

    @overload
    def access(self, stage: SecretStage) -> Access | None: ...

    def access(self, stage: SecretStage) -> Access | None:
        """Return the access at a stage; ``None`` for `PENDING` where no rotation is in flight.

        Raises:
            SettingInvalid: the settings lead to no host, user or password, or to an impossible one.
            CredentialsRejected: the secret or the IAM token cannot be had.
            DatabaseUnreachable: RDS knows no endpoint for the secret's database.
        """
        found = self._find(stage)
        if found is None:
            return None
        self._tls = self._settings.tls if found.parts.tls is None else found.parts.tls
        access = self._complete(found)
        if access.credentials.origin not in self._tried:
            self._tried.append(access.credentials.origin)
        return access

    def find_resource(self) -> Resource | None:
        """Return the RDS instance or cluster that the secret of the last `access` belongs to.

        ``None`` if there is no secret, or nothing in it or on it says so.

        Raises:
            CredentialsRejected: the secret's description may not be read.
        """
        if self._secret is None:
            return None
        from lockgate.aws.endpoints import find_resource

        return find_resource(self._secret, self._secrets)

    def _find(self, stage: SecretStage) -> _Found | None:
        if self._settings.secret_arn is not None:
            return self._find_in_secret(self._settings.secret_arn, stage)
        if stage is SecretStage.PENDING:
            return None
        if self._settings.database_url is not None:
            name = "LOCKGATE_DATABASE_URL"
            return _Found(parse_database_url(self._settings.database_url, name), name)
        if self._settings.iam_auth:
            return _Found(ConnectionParts(), "the settings")
        raise SettingInvalid(
            "No database is given: LOCKGATE_SECRET_ARN, LOCKGATE_DATABASE_URL and LOCKGATE_IAM_AUTH"
            " are not set.",
            hint="Set LOCKGATE_SECRET_ARN for a function; in a terminal, give --local, --database-url or"
            " --secret.",
            setting="LOCKGATE_SECRET_ARN",
        )

    def _find_in_secret(self, given: str, stage: SecretStage) -> _Found | None:
        from lockgate.aws.clients import region_of
        from lockgate.aws.secrets import check_secret_id, read_secret

        secret_id = check_secret_id(given)
        if stage is SecretStage.PENDING and self._settings.iam_auth:
            return None
        if self._secrets is None:
            self._secrets = self._clients("secretsmanager", region_of(secret_id))
        secret = read_secret(self._secrets, secret_id, stage)
        if secret is None:
            return None
        self._secret = secret
        if stage is SecretStage.CURRENT:
            self._current_version = secret.version_id
        elif secret.version_id == self._current_version:
            # A finished rotation may leave both stages on one version; it was tried already.
            return None
        return _Found(self._with_endpoint(secret), secret.origin)

    def _with_endpoint(self, secret: Secret) -> ConnectionParts:
        if self._settings.host is not None or secret.parts.host is not None:
            return secret.parts
        if self._discovered is None:
            from lockgate.aws.endpoints import find_endpoint

            self._discovered = find_endpoint(secret, self._secrets, self._clients)
        return replace(
            secret.parts,
            host=self._discovered.host,
            port=_first(secret.parts.port, self._discovered.port),
            dbname=_first(secret.parts.dbname, self._discovered.dbname),
        )

    def _complete(self, found: _Found) -> Access:
        settings, parts = self._settings, found.parts
        host, port = _read_host(settings.host, settings.port)
        host, port = _first(host, parts.host), _first(port, parts.port)
        username = _first(settings.username, parts.username)
        if username is None and host is not None and is_socket(host):
            username = _os_user()
        if host is None:
            raise _missing("host", "LOCKGATE_HOST", found.origin)
        if username is None:
            raise _missing("user", "LOCKGATE_USERNAME", found.origin)
        endpoint = Endpoint(
            host=host,
            port=port or _DEFAULT_PORT,
            dbname=_first(settings.dbname, parts.dbname) or _DEFAULT_DBNAME,
        )
        if settings.iam_auth:
            return Access(endpoint, self._sign_in(endpoint, username))
        return Access(endpoint, self._with_password(found, username))

    def _with_password(self, found: _Found, username: str) -> Credentials:
        password = found.parts.password
        if password is None and self._settings.secret_arn is not None:
            raise CredentialsRejected(
                f"There is no password in {found.origin}.",
                hint="Add password to the secret, or set LOCKGATE_IAM_AUTH=true to do without one.",
            )
        # A URL without a password is for servers that ask for none.
        return Credentials(username, password or "", found.origin)

    def _sign_in(self, endpoint: Endpoint, username: str) -> Credentials:
        if self._tls is Tls.OFF:
            raise SettingInvalid(
                "An IAM token is only accepted over TLS, and TLS is off.",
                hint="Set LOCKGATE_TLS=verify-full, or LOCKGATE_IAM_AUTH=false.",
                setting="LOCKGATE_TLS",
            )
        from lockgate.aws.clients import Call, translated
        from lockgate.aws.rds_host import find_region

        rds = self._clients("rds", find_region(endpoint.host))
        with translated(Call("The IAM token", "rds-db:connect", "rds")):
            token = rds.generate_db_auth_token(
                DBHostname=endpoint.host, Port=endpoint.port, DBUsername=username
            )
        return Credentials(username, token, f"IAM token for {username}")


def make_access(settings: Settings, clients: ClientFactory = make_client) -> Access:
    """Return the access that the settings give now, with a secret at its current stage.

    Raises:
        SettingInvalid: as `AccessSource.access` does, and so for the others.
        CredentialsRejected:
        DatabaseUnreachable:
    """
    return AccessSource(settings, clients).access(SecretStage.CURRENT)


def _read_host(text: str | None, port: int | None) -> tuple[str | None, int | None]:
    """Return host and port of the settings; the host may have a port.

    Raises:
        SettingInvalid: it is not the name or the address of a host, or has another port.
    """
    if text is None:
        return None, port
    found = parse_host(text)
    if found is None or (found[1] is not None and port not in {None, found[1]}):
        raise SettingInvalid(
            "LOCKGATE_HOST is not the name or the address of a host, or has another port than"
            " LOCKGATE_PORT.",
            hint="Give it the host alone, and LOCKGATE_PORT the port; a whole URL belongs in"
            " LOCKGATE_DATABASE_URL.",
            setting="LOCKGATE_HOST",
        )
    return found[0], found[1] if port is None else port


def _os_user() -> str | None:
    """Return who runs this process; a server that asks the socket for it wants that name."""
    from getpass import getuser

    try:
        return getuser()
    except (KeyError, OSError):
        return None


def _first(preferred: Any, otherwise: Any) -> Any:
    return otherwise if preferred is None else preferred


def _missing(field: str, setting: str, origin: str) -> SettingInvalid:
    return SettingInvalid(
        f"No {field} is known: none in {origin}, and {setting} is not set.",
        hint=f"Set {setting}.",
        setting=setting,
    )
