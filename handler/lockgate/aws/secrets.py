"""Reads one secret at one stage into its parts.

The accepted shapes: RDS's own (``engine``, ``host``, ``username``, ``password``, …), the master secret
that RDS manages (``username`` and ``password`` only), ``{"url": "postgresql://…"}``, and a bare URL.
No message quotes a value; keys and version ids are enough to find the mistake.
"""

from __future__ import annotations

import json
import re
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from lockgate.aws.call import Call
from lockgate.aws.clients import translated
from lockgate.aws.database_url import is_database_url, parse_database_url
from lockgate.aws.parts import ConnectionParts, SecretStage, parse_host, parse_port
from lockgate.errors import CredentialsRejected, SettingInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

# The names of PostgreSQL in secrets: RDS writes the first two, people the third.
ENGINES = ("postgres", "aurora-postgresql", "postgresql")

_NOT_FOUND = "ResourceNotFoundException"
# A name, or an ARN with one. The names of RDS's own secrets contain "!".
_NAME = r"[A-Za-z0-9/_+=.@!-]{1,512}"
_SECRET_ID = re.compile(rf"(?:arn:[a-z0-9-]+:secretsmanager:[a-z0-9-]+:[0-9]+:secret:)?{_NAME}")
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True, slots=True)
class Secret:
    """A version of a secret: the connection fields, and its name and id for messages."""

    arn: str
    name: str
    version_id: str
    stage: SecretStage
    parts: ConnectionParts
    instance_id: str | None = None
    cluster_id: str | None = None

    @property
    def origin(self) -> str:
        """The secret, its version and stage, as messages name them."""
        return f"secret {self.name} version {self.version_id[:8]}… ({self.stage})"


@dataclass(frozen=True, slots=True)
class _SecretValue:
    arn: str
    name: str
    version_id: str
    text: str = field(repr=False)


def read_secret(client: SecretsManagerClient, secret_id: str, stage: SecretStage) -> Secret | None:
    """Fetch the secret's version at a stage; nothing is cached.

    ``None`` if the stage is `SecretStage.PENDING` and no rotation is in progress: Secrets Manager uses
    one error code for a missing stage and a missing secret.

    Raises:
        CredentialsRejected: the secret cannot be fetched, or holds no credentials.
        SettingInvalid: it is for another kind of database, or has a field of a wrong type.
    """
    answer = _fetch(client, secret_id, stage)
    if answer is None:
        return None
    origin = f"Secret {answer.name} version {answer.version_id[:8]}… ({stage})"
    if is_database_url(answer.text):
        content: dict[str, Any] = {"url": answer.text}
    else:
        content = _parse_object(answer.text, origin)
    return Secret(
        arn=answer.arn,
        name=answer.name,
        version_id=answer.version_id,
        stage=stage,
        parts=_read_parts(content, origin),
        instance_id=_read_text(content, "dbInstanceIdentifier", origin),
        cluster_id=_read_text(content, "dbClusterIdentifier", origin),
    )


def check_secret_id(secret_id: str) -> str:
    """Return a secret's name or ARN, and refuse what may be its value.

    Raises:
        SettingInvalid: it is neither. The message does not quote it, because it may be a URL or a value
            that CloudFormation resolved into the setting.
    """
    if _SECRET_ID.fullmatch(secret_id) is None or is_database_url(secret_id):
        raise SettingInvalid(
            "LOCKGATE_SECRET_ARN is neither the ARN nor the name of a secret.",
            hint="Set it to the secret's ARN, not its value; a URL belongs in LOCKGATE_DATABASE_URL.",
            setting="LOCKGATE_SECRET_ARN",
        )
    return secret_id


def _fetch(client: SecretsManagerClient, secret_id: str, stage: SecretStage) -> _SecretValue | None:
    try:
        with translated(_fetching(secret_id, stage)):
            answer = client.get_secret_value(SecretId=secret_id, VersionStage=stage.value)
    except CredentialsRejected as error:
        if stage is SecretStage.PENDING and error.fields.get("aws_code") == _NOT_FOUND:
            return None
        raise
    name, version_id = answer["Name"], answer["VersionId"]
    if "SecretString" not in answer:
        raise CredentialsRejected(
            f"Secret {name} version {version_id[:8]}… ({stage}) is binary, so its credentials cannot be"
            " read.",
            hint="Store it as text: a JSON object with username and password, or with url.",
        )
    return _SecretValue(answer["ARN"], name, version_id, answer["SecretString"])


def _fetching(secret_id: str, stage: SecretStage) -> Call:
    return Call(
        subject=f"Secret {secret_id} ({stage})",
        permission="secretsmanager:GetSecretValue (and kms:Decrypt for a key of your own)",
        service="secretsmanager",
        meanings={
            _NOT_FOUND: (
                f"there is no such secret here, or it has no version staged {stage}",
                "Check LOCKGATE_SECRET_ARN, and that the secret is in this account and region.",
            ),
            "DecryptionFailure": (
                "its KMS key cannot decrypt it (DecryptionFailure)",
                "Allow kms:Decrypt on the secret's key, in the role's and in the key's policy.",
            ),
            "InvalidRequestException": (
                "it is marked for deletion, or its state does not allow it (InvalidRequestException)",
                "Restore the secret, or point LOCKGATE_SECRET_ARN to another one.",
            ),
        },
    )


def _parse_object(text: str, origin: str) -> dict[str, Any]:
    # The parser's error contains the whole text, so it may become neither cause nor context.
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if isinstance(content, str) and is_database_url(content):
        return {"url": content}
    if not isinstance(content, dict):
        raise CredentialsRejected(
            f"{origin} holds neither a JSON object nor a postgresql:// URL.",
            hint="Store a JSON object with username and password, or with url.",
        )
    return content


# The names of the fields in secrets, in lower case and without punctuation. RDS uses the keys of this
# table; people write DB_HOST, PGHOST, POSTGRES_HOST, dbName, databaseName.
_PREFIXES = ("", "db", "pg", "postgres", "database")
_NAMES: dict[str, tuple[str, ...]] = {
    "url": ("url", "uri", "databaseurl", "databaseuri", "connectionstring", "connectionuri", "dsn"),
    "host": (*(f"{prefix}host" for prefix in _PREFIXES), "hostname", "endpoint"),
    "port": tuple(f"{prefix}port" for prefix in _PREFIXES),
    "username": tuple(f"{prefix}{name}" for prefix in _PREFIXES for name in ("username", "user")),
    "password": tuple(f"{prefix}{name}" for prefix in _PREFIXES for name in ("password", "passwd")),
    "dbname": ("dbname", "database", "db", "databasename", "pgdatabase", "postgresdb"),
}
_MARKS = re.compile("[^a-z0-9]")


def _find_value(content: dict[str, Any], field: str, origin: str) -> tuple[str, Any]:
    """Return the key that gives a field, and its value, whatever the key is called.

    Raises:
        SettingInvalid: two keys give the field, with different values.
    """
    given = {
        key: value
        for key, value in content.items()
        if _MARKS.sub("", key.lower()) in _NAMES[field] and value is not None and value != ""
    }
    texts = {str(value) for value in given.values()}
    if len(texts) > 1:
        raise SettingInvalid(
            f"{origin} has {len(given)} values for {field}: {', '.join(sorted(given))} differ.",
            hint=f"Keep one of these keys, or give them one value; RDS calls it {field}.",
        )
    return next(iter(given.items()), (field, None))


def _read_parts(content: dict[str, Any], origin: str) -> ConnectionParts:
    _refuse_other_engine(content, origin)
    parts = _read_fields(content, origin)
    key, value = _find_value(content, "url", origin)
    url = _check_text(key, value, origin)
    if url is not None:
        return _add_fields(parse_database_url(url, origin[0].lower() + origin[1:]), parts, origin)
    if parts.username is None:
        keys = ", ".join(key for key in ("username", "password") if getattr(parts, key) is None)
        raise CredentialsRejected(
            f"{origin} lacks {keys}, and it has no url either.",
            hint="Store a JSON object with username and password, or with url.",
        )
    return parts


def _read_fields(content: dict[str, Any], origin: str) -> ConnectionParts:
    texts: dict[str, Any] = {
        field: _check_text(*_find_value(content, field, origin), origin)
        for field in ("username", "password", "dbname")
    }
    host, port = _read_address(content, origin)
    return ConnectionParts(host=host, port=port, **texts)


def _read_address(content: dict[str, Any], origin: str) -> tuple[str | None, int | None]:
    key, value = _find_value(content, "host", origin)
    text = _check_text(key, value, origin)
    port = _read_port(content, origin)
    if text is None:
        return None, port
    found = parse_host(text)
    if found is None:
        raise SettingInvalid(
            f"{origin} has a {key} that is not a host name or address.",
            hint=f"Store {key} as a host name alone, without a scheme, a path or spaces; a whole URL"
            " belongs in url.",
        )
    if found[1] is not None and port is not None and found[1] != port:
        raise SettingInvalid(
            f"{origin} has a port in {key} and a different one in port.",
            hint="Keep one of them.",
        )
    return found[0], found[1] if port is None else port


def _add_fields(url: ConnectionParts, fields: ConnectionParts, origin: str) -> ConnectionParts:
    """Return a URL's parts, completed from the secret's other fields."""
    names = ("username", "password", "host", "port", "dbname")
    for name in names:
        ours, theirs = getattr(url, name), getattr(fields, name)
        if ours is not None and theirs is not None and ours != theirs:
            raise SettingInvalid(
                f"{origin} has a {name} in url and a different one in its other fields.",
                hint=f"Keep url alone, or {name} and the other fields without url.",
            )
    lacking = {name: getattr(fields, name) for name in names if getattr(url, name) is None}
    return replace(url, **lacking)


def _refuse_other_engine(content: dict[str, Any], origin: str) -> None:
    engine = _read_text(content, "engine", origin)
    if engine is None or engine in ENGINES:
        return
    shown = f'"{engine}"' if _PLAIN_NAME.fullmatch(engine) else "another one"
    raise SettingInvalid(
        f"{origin} is for the engine {shown}; Lockgate migrates PostgreSQL only.",
        hint="Point LOCKGATE_SECRET_ARN to the secret of a PostgreSQL database (engine postgres"
        " or aurora-postgresql).",
    )


def _read_text(content: dict[str, Any], key: str, origin: str) -> str | None:
    return _check_text(key, content.get(key), origin)


def _check_text(key: str, value: Any, origin: str) -> str | None:
    if value is None or value == "":
        return None
    # Half of a surrogate pair is valid in JSON, and nowhere else.
    if (
        not isinstance(value, str)
        or "\0" in value
        or value.encode(errors="ignore").decode() != value
    ):
        raise SettingInvalid(
            f"{origin} has a {key} that is not text.",
            hint=f"Store {key} as a JSON string.",
        )
    return value


def _read_port(content: dict[str, Any], origin: str) -> int | None:
    key, value = _find_value(content, "port", origin)
    if value is None:
        return None
    port = parse_port(value)
    if port is None:
        raise SettingInvalid(
            f"{origin} has a {key} that is not a port number.",
            hint=f"Store {key} as a number from 1 to 65535.",
        )
    return port
