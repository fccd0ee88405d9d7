"""Settings are read strictly: an invalid value or an unknown name refuses the run."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

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
from lockgate.errors import SettingInvalid
from lockgate.formats.names import list_formats
from lockgate.settings import (
    SETTINGS,
    Setting,
    Settings,
    read_answer_settings,
    read_environment,
    read_settings,
)

# Each setting with a value that is not its default, and the result of reading it.
EXAMPLES = [
    ("LOCKGATE_SECRET_ARN", "app/db", "app/db"),
    ("LOCKGATE_DATABASE_URL", "postgresql://h/d", "postgresql://h/d"),
    ("LOCKGATE_HOST", "db.internal", "db.internal"),
    ("LOCKGATE_PORT", "5433", 5433),
    ("LOCKGATE_DBNAME", "app", "app"),
    ("LOCKGATE_USERNAME", "migrator", "migrator"),
    ("LOCKGATE_IAM_AUTH", "true", True),
    ("LOCKGATE_TLS", "require", Tls.REQUIRE),
    ("LOCKGATE_TLS_OFF_ANYWHERE", "Yes", True),
    ("LOCKGATE_CA_FILE", "ca.pem", "ca.pem"),
    ("LOCKGATE_CONNECT_TIMEOUT", "3s", 3_000),
    ("LOCKGATE_CONNECT_BUDGET", "1min", 60_000),
    ("LOCKGATE_SET_ROLE", "owner", "owner"),
    ("LOCKGATE_POOLER", "lease", Pooler.LEASE),
    ("LOCKGATE_SCHEMA", "ops", "ops"),
    ("LOCKGATE_MIGRATIONS", "db/migrations", "db/migrations"),
    ("LOCKGATE_FORMAT", "dbmate", "dbmate"),
    ("LOCKGATE_ALEMBIC_PLUGINS", "one, two.three", ("one", "two.three")),
    ("LOCKGATE_FIRST_RUN", "allow", FirstRun.ALLOW),
    ("LOCKGATE_ROLLBACK", "deploy", Rollback.DEPLOY),
    ("LOCKGATE_ALLOW_DATA_LOSS", "true", True),
    ("LOCKGATE_BACKUP", "snapshot", BackupMode.SNAPSHOT),
    ("LOCKGATE_BACKUP_KEEP", "2", 2),
    ("LOCKGATE_ATOMICITY", "run", Atomicity.RUN),
    ("LOCKGATE_OUT_OF_ORDER", "skip", OutOfOrder.SKIP),
    ("LOCKGATE_LOCK_WAIT", "0", 0),
    ("LOCKGATE_LOCK_TIMEOUT", "500ms", 500),
    ("LOCKGATE_LOCK_RETRIES", "0", 0),
    ("LOCKGATE_STATEMENT_TIMEOUT", "10min", 600_000),
    ("LOCKGATE_RESERVE", "5s", 5_000),
    ("LOCKGATE_ALLOWED_ACTIONS", "status, unlock", ("status", "unlock")),
    ("LOCKGATE_OPERATE", "shop-Operate", "shop-Operate"),
    ("LOCKGATE_CFN_RESPONSE", "return", CfnResponse.RETURN),
    ("LOCKGATE_CFN_LOOPBACK", "1", True),
]

DURATIONS = (
    "LOCKGATE_CONNECT_TIMEOUT",
    "LOCKGATE_CONNECT_BUDGET",
    "LOCKGATE_LOCK_WAIT",
    "LOCKGATE_LOCK_TIMEOUT",
    "LOCKGATE_STATEMENT_TIMEOUT",
    "LOCKGATE_RESERVE",
)
FLAGS = (
    "LOCKGATE_IAM_AUTH",
    "LOCKGATE_TLS_OFF_ANYWHERE",
    "LOCKGATE_ALLOW_DATA_LOSS",
    "LOCKGATE_CFN_LOOPBACK",
)
NO_NAME = "it takes a plain name: letters, digits and _, at most 63 of them"

REFUSED = [
    ("LOCKGATE_PORT", "0", "it takes a port number from 1 to 65535"),
    ("LOCKGATE_PORT", "65536", "it takes a port number from 1 to 65535"),
    ("LOCKGATE_PORT", "http", "it takes a port number from 1 to 65535"),
    ("LOCKGATE_TLS", "prefer", "it takes one of verify-full, require, off"),
    ("LOCKGATE_SET_ROLE", "my role", NO_NAME),
    ("LOCKGATE_SET_ROLE", "r" * 64, NO_NAME),
    ("LOCKGATE_POOLER", "yes", "it takes one of refuse, session, lease"),
    ("LOCKGATE_SCHEMA", "a-b", NO_NAME),
    (
        "LOCKGATE_SCHEMA",
        "pg_lockgate",
        "that schema belongs to PostgreSQL; name one of your own",
    ),
    (
        "LOCKGATE_SCHEMA",
        "Information_Schema",
        "that schema belongs to PostgreSQL; name one of your own",
    ),
    ("LOCKGATE_ALEMBIC_PLUGINS", "a-b", "it takes names of Python modules, separated by commas"),
    ("LOCKGATE_FORMAT", "access", f"it takes auto or one of {', '.join(list_formats())}"),
    ("LOCKGATE_FIRST_RUN", "yes", "it takes one of refuse, allow"),
    ("LOCKGATE_ROLLBACK", "always", "it takes one of off, run, deploy"),
    ("LOCKGATE_BACKUP", "always", "it takes one of off, record, snapshot"),
    ("LOCKGATE_BACKUP_KEEP", "0", "it takes a whole number, 1 or more"),
    ("LOCKGATE_BACKUP_KEEP", "all", "it takes a whole number, 1 or more"),
    ("LOCKGATE_ATOMICITY", "AUTO", "it takes one of auto, run, migration"),
    ("LOCKGATE_OUT_OF_ORDER", "allow", "it takes one of refuse, apply, skip"),
    ("LOCKGATE_LOCK_RETRIES", "-1", "it takes a whole number, 0 or more"),
    ("LOCKGATE_LOCK_RETRIES", "many", "it takes a whole number, 0 or more"),
    (
        "LOCKGATE_ALLOWED_ACTIONS",
        "up,destroy",
        f"it takes some of {', '.join(Action)}, separated by commas",
    ),
    (
        "LOCKGATE_ALLOWED_ACTIONS",
        ",",
        f"it takes some of {', '.join(Action)}, separated by commas",
    ),
    ("LOCKGATE_CFN_RESPONSE", "none", "it takes one of direct, return"),
    *((name, "maybe", "it takes true or false") for name in FLAGS),
    *(
        (name, "90", '"90" is not a duration; write a number with ms, s, min, h or d: 5s')
        for name in DURATIONS
    ),
]


def test_settings_of_an_empty_environment_are_the_defaults() -> None:
    """An empty environment gives the defaults."""
    assert Settings() == read_settings({})


def test_every_setting_has_an_example_here() -> None:
    """Every setting has an example in the table above."""
    assert [setting.name for setting in SETTINGS] == [name for name, _, _ in EXAMPLES]


def test_every_setting_has_its_own_field() -> None:
    """Every setting has its own field, and the only other field is for variables."""
    fields = [field.name for field in dataclasses.fields(Settings)]
    assert [*fields[:-1], "variables"] == [*(setting.field for setting in SETTINGS), "variables"]


def test_default_in_the_table_is_that_of_the_field() -> None:
    """A default that is written as a value is the one that the field has; words are its absence."""
    defaults = Settings()
    for setting in SETTINGS:
        value, shown = getattr(defaults, setting.field), setting.default
        if shown.startswith("`") and shown.endswith("`"):
            assert value == setting.read(shown.strip("`")), setting.name
        else:
            assert value in {None, ()}, setting.name


@pytest.mark.parametrize(("name", "value", "expected"), EXAMPLES, ids=lambda value: str(value)[:30])
def test_setting_given_replaces_its_default(name: str, value: str, expected: object) -> None:
    """A setting changes only its own field; space around its value is ignored."""
    field = next(setting.field for setting in SETTINGS if setting.name == name)
    changes: dict[str, Any] = {field: expected}
    assert getattr(Settings(), field) != expected
    assert dataclasses.replace(Settings(), **changes) == read_settings({name: f" {value}\n"})


# The defaults that are stated as a value, and nothing else.
STATED = [(one, one.default[1:-1]) for one in SETTINGS if re.fullmatch("`[^`]+`", one.default)]


@pytest.mark.parametrize(("setting", "default"), STATED, ids=lambda value: str(value)[:30])
def test_documented_default_is_the_default(setting: Setting, default: str) -> None:
    """A default that the documentation gives as a value is the one that is used."""
    assert setting.read(default) == getattr(Settings(), setting.field)


def test_policy_is_what_the_settings_say() -> None:
    """Each setting that the engine decides by reaches its policy, and the defaults are the same."""
    shared = {f.name for f in dataclasses.fields(Policy)} & {
        f.name for f in dataclasses.fields(Settings)
    }
    changes: dict[str, Any] = {
        next(s.field for s in SETTINGS if s.name == name): expected
        for name, _, expected in EXAMPLES
    }
    chosen = {name: changes[name] for name in shared}
    assert 7 == len(shared)
    assert Policy() == Settings().policy
    assert Policy(**chosen) == Settings(**chosen).policy


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS])
@pytest.mark.parametrize("value", ["", "  "])
def test_empty_setting_counts_as_not_given(name: str, value: str) -> None:
    """An empty value counts as not given, because CloudFormation cannot omit a variable."""
    assert Settings() == read_settings({name: value})


@pytest.mark.parametrize(("name", "value", "accepted"), REFUSED, ids=lambda value: str(value)[:30])
def test_value_that_a_setting_cannot_have_is_refused(name: str, value: str, accepted: str) -> None:
    """The message names the setting, its value and the accepted values."""
    with pytest.raises(SettingInvalid) as caught:
        read_settings({name: value})
    assert f'{name} cannot be "{value}": {accepted}.' == caught.value.message
    assert f"Correct {name} in the environment." == caught.value.hint
    assert {"setting": name} == caught.value.fields


def test_every_setting_with_rules_has_a_refused_value_here() -> None:
    """Every setting except free text has a refused value in the table above."""
    free = {name for name, value, expected in EXAMPLES if value == expected}
    free -= {"LOCKGATE_SET_ROLE", "LOCKGATE_SCHEMA"}
    assert {setting.name for setting in SETTINGS} == free | {name for name, _, _ in REFUSED}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("LOCKGATE_LOCK_TIMOUT", " Did you mean LOCKGATE_LOCK_TIMEOUT?"),
        ("LOCKGATE_SECRETARN", " Did you mean LOCKGATE_SECRET_ARN?"),
        ("LOCKGATE_XYZZY", ""),
        ("LOCKGATE_", ""),
    ],
)
def test_unknown_name_is_refused_with_the_nearest(name: str, advice: str) -> None:
    """An unknown setting is refused, with the nearest name as advice."""
    with pytest.raises(SettingInvalid) as caught:
        read_settings({name: ""})
    assert f"Unknown setting {name}.{advice}" == caught.value.message


def test_names_of_other_programs_are_ignored() -> None:
    """Variables of other programs and of the tests are ignored."""
    environment = {"LOCKGATE_TEST_POSTGRES_ROOTS": "x", "LOCKGATES": "x", "lockgate_tls": "x"}
    wanted = {"LOCKGATES": "x", "lockgate_tls": "x"}
    assert dataclasses.replace(Settings(), variables=wanted) == read_settings(environment)


def test_variables_hide_what_migrations_must_not_see() -> None:
    """Migrations see neither AWS credentials, Lockgate's settings nor the runtime's variables."""
    environment = {
        "TEAM": "billing",
        "EMPTY": "",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "s",
        "LOCKGATE_DATABASE_URL": "postgresql://u:s@h/d",
        "_HANDLER": "x",
    }
    assert {"TEAM": "billing", "EMPTY": ""} == read_settings(environment).variables


def test_printed_settings_contain_no_secret() -> None:
    """The repr of the settings contains neither the URL nor the variables."""
    settings = read_settings({"LOCKGATE_DATABASE_URL": "postgresql://u:sesame@h/d", "K": "sesame"})
    assert "sesame" not in repr(settings)


def test_refused_database_url_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused database URL is not quoted, because it contains a password."""

    def refuse(_value: str) -> str:
        raise ValueError("it is wrong")

    url = next(setting for setting in SETTINGS if setting.field == "database_url")
    broken = dataclasses.replace(url, read=refuse)
    monkeypatch.setattr("lockgate.settings.SETTINGS", (broken,))
    with pytest.raises(SettingInvalid) as caught:
        read_settings({"LOCKGATE_DATABASE_URL": "postgresql://u:sesame@h/d"})
    expected = "LOCKGATE_DATABASE_URL cannot be its value: it is wrong."
    assert expected == caught.value.message


def test_answer_settings_are_read_beside_broken_ones() -> None:
    """The settings for answering CloudFormation are read even if others are invalid."""
    environment = {
        "LOCKGATE_CFN_RESPONSE": "return",
        "LOCKGATE_CFN_LOOPBACK": "maybe",
        "LOCKGATE_PORT": "no",
        "LOCKGATE_NONE": "x",
        "LOCKGATE_RESERVE": "200ms",
    }
    wanted = dataclasses.replace(Settings(), cfn_response=CfnResponse.RETURN, reserve_ms=200)
    assert wanted == read_answer_settings(environment)


def test_broken_reserve_counts_as_not_given() -> None:
    """An invalid reserve is replaced by the default, so that the answer is in time."""
    assert Settings() == read_answer_settings({"LOCKGATE_RESERVE": "soon"})


def test_every_action_can_be_allowed() -> None:
    """The setting accepts every action by its name."""
    environment = {"LOCKGATE_ALLOWED_ACTIONS": ",".join(Action)}
    assert tuple(Action) == read_settings(environment).allowed_actions


def test_environment_is_the_process_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is that of the process."""
    monkeypatch.setenv("LOCKGATE_HOST", "db.internal")
    assert "db.internal" == read_environment()["LOCKGATE_HOST"]
