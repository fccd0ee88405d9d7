"""Read the settings from the environment. No other module reads the environment.

A test compares ``docs/configuration.md`` with `SETTINGS`.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from lockgate.core.policy import (
    Atomicity,
    BackupMode,
    CfnResponse,
    FirstRun,
    OutOfOrder,
    Policy,
    Pooler,
    Rollback,
    Tls,
)
from lockgate.core.request import Action
from lockgate.core.similar import find_similar
from lockgate.core.variables import WITHHELD_PREFIXES
from lockgate.duration import parse_duration_ms
from lockgate.errors import SettingInvalid
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.names import AUTO_FORMAT, DEFAULT_FORMAT, list_formats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


# The defaults of the settings that the engine decides by.
_POLICY = Policy()
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
_HIGHEST_PORT = 65_535
_Choice = TypeVar("_Choice", bound=StrEnum)


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if value.lower() not in known:
        raise ValueError("it takes true or false")
    return known[value.lower()]


def _port(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 0 < int(value) <= _HIGHEST_PORT:
        raise ValueError("it takes a port number from 1 to 65535")
    return int(value)


def _count(value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise ValueError("it takes a whole number, 0 or more")
    return int(value)


def _number(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise ValueError("it takes a whole number, 1 or more")
    return int(value)


def _identifier(value: str) -> str:
    if _IDENTIFIER.fullmatch(value) is None:
        raise ValueError("it takes a plain name: letters, digits and _, at most 63 of them")
    return value


def _schema(value: str) -> str:
    if value.lower().startswith("pg_") or value.lower() == "information_schema":
        raise ValueError("that schema belongs to PostgreSQL; name one of your own")
    return _identifier(value)


def _choice(choices: type[_Choice]) -> Callable[[str], _Choice]:
    def read(value: str) -> _Choice:
        try:
            return choices(value)
        except ValueError:
            raise ValueError(f"it takes one of {', '.join(choices)}") from None

    return read


def _format(value: str) -> str:
    if value != AUTO_FORMAT and value not in list_formats():
        raise ValueError(f"it takes {AUTO_FORMAT} or one of {', '.join(list_formats())}")
    return value


def _modules(value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(","))
    if not all(part.isidentifier() for name in names for part in name.split(".")):
        raise ValueError("it takes names of Python modules, separated by commas")
    return names


def _actions(value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(","))
    if not set(names) <= set(Action):
        raise ValueError(f"it takes some of {', '.join(Action)}, separated by commas")
    return names


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its field, how to read it, its documented default, and its purpose."""

    name: str
    field: str
    read: Callable[[str], Any]
    default: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of this invocation. Times are in milliseconds; ``None`` means "not given"."""

    secret_arn: str | None = None
    database_url: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    dbname: str | None = None
    username: str | None = None
    iam_auth: bool = False
    tls: Tls = Tls.VERIFY_FULL
    tls_off_anywhere: bool = False
    ca_file: str | None = None
    connect_timeout_ms: int = 10_000
    connect_budget_ms: int = 120_000
    set_role: str | None = None
    pooler: Pooler = Pooler.REFUSE
    schema: str = "lockgate"
    migrations: str = "migrations"
    format: str = DEFAULT_FORMAT
    alembic_plugins: tuple[str, ...] = ()
    first_run: FirstRun = _POLICY.first_run
    rollback: Rollback = _POLICY.rollback
    allow_data_loss: bool = _POLICY.allow_data_loss
    backup: BackupMode | None = None
    backup_keep: int = 5
    atomicity: Atomicity = _POLICY.atomicity
    out_of_order: OutOfOrder = _POLICY.out_of_order
    lock_wait_ms: int = _POLICY.lock_wait_ms
    lock_timeout_ms: int = 5_000
    lock_retries: int = _POLICY.lock_retries
    statement_timeout_ms: int | None = None
    reserve_ms: int = 20_000
    allowed_actions: tuple[str, ...] = ("up", "plan", "status", "validate", "history")
    operate: str | None = None
    cfn_response: CfnResponse = CfnResponse.DIRECT
    cfn_loopback: bool = False
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def policy(self) -> Policy:
        """What the engine decides by."""
        return Policy(
            atomicity=self.atomicity,
            out_of_order=self.out_of_order,
            first_run=self.first_run,
            rollback=self.rollback,
            allow_data_loss=self.allow_data_loss,
            lock_wait_ms=self.lock_wait_ms,
            lock_retries=self.lock_retries,
        )


# fmt: off
SETTINGS: tuple[Setting, ...] = (
    Setting("LOCKGATE_SECRET_ARN", "secret_arn", _text, "", "ARN or name of the Secrets Manager secret with the credentials."),
    Setting("LOCKGATE_DATABASE_URL", "database_url", _text, "", "`postgresql://user:password@host:port/dbname`, for the terminal and for tests. A secret takes precedence."),
    Setting("LOCKGATE_HOST", "host", _text, "from the secret or URL", "Host to connect to, instead of the one in the secret or URL."),
    Setting("LOCKGATE_PORT", "port", _port, "from the secret or URL, or `5432`", "Port, instead of the one in the secret or URL."),
    Setting("LOCKGATE_DBNAME", "dbname", _text, "from the secret or URL, or `postgres`", "Database, instead of the one in the secret or URL."),
    Setting("LOCKGATE_USERNAME", "username", _text, "from the secret or URL", "User, instead of the one in the secret or URL."),
    Setting("LOCKGATE_IAM_AUTH", "iam_auth", _flag, "`false`", "Sign in with an IAM token instead of a password. Needs a host and a user."),
    Setting("LOCKGATE_TLS", "tls", _choice(Tls), "`verify-full`", "`verify-full`, `require` (encrypted, server not verified) or `off` (loopback only)."),
    Setting("LOCKGATE_TLS_OFF_ANYWHERE", "tls_off_anywhere", _flag, "`false`", "Allow `LOCKGATE_TLS=off` for hosts other than loopback."),
    Setting("LOCKGATE_CA_FILE", "ca_file", _text, "the RDS bundle and the system store", "PEM file with further certificate authorities to trust."),
    Setting("LOCKGATE_CONNECT_TIMEOUT", "connect_timeout_ms", parse_duration_ms, "`10s`", "How long one attempt to connect may take. The host name is looked up in the same time."),
    Setting("LOCKGATE_CONNECT_BUDGET", "connect_budget_ms", parse_duration_ms, "`120s`", "How long to keep trying while the database is paused, starting or failing over."),
    Setting("LOCKGATE_SET_ROLE", "set_role", _identifier, "none", "Role to act as. It owns what migrations create."),
    Setting("LOCKGATE_POOLER", "pooler", _choice(Pooler), "`refuse`", "What to do with a connection pooler: `refuse`, `session` (it pools sessions: continue) or `lease` (it pools transactions: rely on the lease alone)."),
    Setting("LOCKGATE_SCHEMA", "schema", _schema, "`lockgate`", "Schema of Lockgate's own tables."),
    Setting("LOCKGATE_MIGRATIONS", "migrations", _text, "`migrations`", "Folder with the migrations. A relative path starts at the function's code, or at the working directory in a terminal."),
    Setting("LOCKGATE_FORMAT", "format", _format, "`lockgate`", "Format of the migrations folder: `lockgate` (native), the name of another tool ([formats](formats.md)), or `auto`."),
    Setting("LOCKGATE_ALEMBIC_PLUGINS", "alembic_plugins", _modules, "none", "Python modules, separated by commas, that add operations to Alembic. They are imported before revisions run ([Alembic](formats/alembic.md))."),
    Setting("LOCKGATE_FIRST_RUN", "first_run", _choice(FirstRun), "`refuse`", "Whether the first run may continue on a database that already has tables: `refuse` or `allow`. A request can override it ([first contact](undo.md#first-contact))."),
    Setting("LOCKGATE_ROLLBACK", "rollback", _choice(Rollback), "`run`", "What Lockgate undoes automatically, if it can prove that this is safe: `off` nothing, `run` the work of a failed run, `deploy` also what a newer package applied."),
    Setting("LOCKGATE_ALLOW_DATA_LOSS", "allow_data_loss", _flag, "`false`", "Let down scripts drop tables and columns that contain data, and delete rows."),
    Setting("LOCKGATE_BACKUP", "backup", _choice(BackupMode), "`record` if RDS can be asked", "Backup before a change, on RDS: `off`, `record` (put the latest restorable time into the report) or `snapshot` (take one and wait for it; [backups](backups.md))."),
    Setting("LOCKGATE_BACKUP_KEEP", "backup_keep", _number, "`5`", "How many of its own snapshots of this database Lockgate keeps. It deletes older ones."),
    Setting("LOCKGATE_ATOMICITY", "atomicity", _choice(Atomicity), "`auto`", "Which migrations share a transaction: `auto`, `run` or `migration`."),
    Setting("LOCKGATE_OUT_OF_ORDER", "out_of_order", _choice(OutOfOrder), "`refuse`", "What to do with a pending version below the latest applied one: `refuse`, `apply` or `skip`."),
    Setting("LOCKGATE_LOCK_WAIT", "lock_wait_ms", parse_duration_ms, "`300s`", "How long to wait for another run to finish."),
    Setting("LOCKGATE_LOCK_TIMEOUT", "lock_timeout_ms", parse_duration_ms, "`5s`", "PostgreSQL's `lock_timeout` for migrations that do not set their own."),
    Setting("LOCKGATE_LOCK_RETRIES", "lock_retries", _count, "`5`", "How often to retry a segment after a lock timeout or a deadlock."),
    Setting("LOCKGATE_STATEMENT_TIMEOUT", "statement_timeout_ms", parse_duration_ms, "the rest of the invocation", "PostgreSQL's `statement_timeout` for migrations that do not set their own."),
    Setting("LOCKGATE_RESERVE", "reserve_ms", parse_duration_ms, "`20s`", "Time kept at the end of the invocation to record the run, release the lock and answer."),
    Setting("LOCKGATE_ALLOWED_ACTIONS", "allowed_actions", _actions, "`up,plan,status,validate,history`", "Actions that this function carries out. It refuses all others."),
    Setting("LOCKGATE_OPERATE", "operate", _text, "none", "Name or ARN of the function for operators. Messages address their commands to it."),
    Setting("LOCKGATE_CFN_RESPONSE", "cfn_response", _choice(CfnResponse), "`direct`", "Who answers CloudFormation. `direct`: the function. `return`: a framework, to which the function returns the answer (CDK Provider)."),
    Setting("LOCKGATE_CFN_LOOPBACK", "cfn_loopback", _flag, "`false`", "For tests: also answer CloudFormation events whose `ResponseURL` is a loopback address."),
)
# fmt: on

_PREFIX = "LOCKGATE_"


def read_environment() -> Mapping[str, str]:
    """Return the process's environment."""
    return os.environ


def read_answer_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings needed to answer a caller; invalid values count as not given.

    A function whose settings are broken must still answer, or the stack waits for an hour.
    """
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        raw = environment.get(setting.name, "").strip()
        if raw and setting.field in {"cfn_response", "cfn_loopback", "reserve_ms"}:
            with contextlib.suppress(ValueError):
                values[setting.field] = setting.read(raw)
    return Settings(**values)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings given in the environment.

    An empty value counts as not given, since CloudFormation cannot leave a variable out.

    Raises:
        SettingInvalid: a value cannot be read, or a ``LOCKGATE_`` name is unknown.
    """
    _refuse_unknown(environment)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        raw = environment.get(setting.name, "").strip()
        if raw:
            values[setting.field] = _read(setting, raw)
    variables = {k: v for k, v in environment.items() if not k.startswith(WITHHELD_PREFIXES)}
    return Settings(**values, variables=variables)


def _read(setting: Setting, raw: str) -> object:
    try:
        return setting.read(raw)
    except ValueError as error:
        shown = "its value" if setting.field == "database_url" else f'"{raw}"'
        raise SettingInvalid(
            f"{setting.name} cannot be {shown}: {error}.",
            hint=f"Correct {setting.name} in the environment.",
            setting=setting.name,
        ) from None


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {setting.name for setting in SETTINGS}
    short = [name.removeprefix(_PREFIX) for name in known]
    for name in environment:
        if name.startswith(_PREFIX) and name not in known and not name.startswith("LOCKGATE_TEST_"):
            # Compared without the prefix: with it, any two names would be similar.
            near = find_similar(name.removeprefix(_PREFIX), short)
            advice = f" Did you mean {_PREFIX}{near}?" if near else ""
            raise SettingInvalid(
                f"Unknown setting {name}.{advice}",
                hint="Correct the name, or remove the variable.",
                setting=name,
            )
