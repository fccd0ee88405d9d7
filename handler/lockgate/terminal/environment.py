"""Turns the options of a command into settings. Options take precedence over the environment."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.errors import SettingInvalid
from lockgate.settings import Settings, read_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from lockgate.report.report import Report

# The setting that each option sets, by the option's name in the parsed arguments.
OPTION_SETTINGS = {
    "database_url": "LOCKGATE_DATABASE_URL",
    "secret": "LOCKGATE_SECRET_ARN",
    "dir": "LOCKGATE_MIGRATIONS",
    "format": "LOCKGATE_FORMAT",
    "ca_file": "LOCKGATE_CA_FILE",
    "schema": "LOCKGATE_SCHEMA",
    "set_role": "LOCKGATE_SET_ROLE",
    "atomicity": "LOCKGATE_ATOMICITY",
    "out_of_order": "LOCKGATE_OUT_OF_ORDER",
    "rollback": "LOCKGATE_ROLLBACK",
    "lock_wait": "LOCKGATE_LOCK_WAIT",
    "lock_timeout": "LOCKGATE_LOCK_TIMEOUT",
    "connect_budget": "LOCKGATE_CONNECT_BUDGET",
}
# At a terminal, a mistyped host is more likely than a sleeping database.
_CONNECT_BUDGET = "10s"
# Options that a suggested command repeats, since they choose the database and the folder.
_REPEATED = ("database_url", "secret", "dir", "format", "ca_file", "schema", "set_role")
# An option that chooses a database overrides these settings about another one.
_FIELDS = ("LOCKGATE_HOST", "LOCKGATE_PORT", "LOCKGATE_DBNAME", "LOCKGATE_USERNAME")
_OVERRIDDEN = {
    "database_url": ("LOCKGATE_SECRET_ARN", *_FIELDS),
    "secret": ("LOCKGATE_DATABASE_URL",),
    "local": ("LOCKGATE_SECRET_ARN", "LOCKGATE_IAM_AUTH", "LOCKGATE_TLS", *_FIELDS),
}


def merge_environment(
    environment: Mapping[str, str], options: argparse.Namespace
) -> dict[str, str]:
    """Return the environment with the settings that the options give."""
    given = {name: value for name, value in vars(options).items() if value}
    overridden = {name for option in given for name in _OVERRIDDEN.get(option, ())}
    merged = {name: value for name, value in environment.items() if name not in overridden}
    for option, setting in OPTION_SETTINGS.items():
        # An empty value counts: if a script's variable is unset, the environment must not decide.
        if getattr(options, option, None) is not None:
            merged[setting] = getattr(options, option)
    return merged


def read_merged(merged: Mapping[str, str], options: argparse.Namespace) -> Settings:
    """Return the settings of an environment that `merge_environment` made.

    Raises:
        SettingInvalid: a value is invalid; the message names the option that gave it.
    """
    try:
        # An empty value counts as not given, as everywhere.
        budget = merged.get("LOCKGATE_CONNECT_BUDGET") or _CONNECT_BUDGET
        return read_settings({**merged, "LOCKGATE_CONNECT_BUDGET": budget})
    except SettingInvalid as error:
        raise _name_option(error, options) from None


def _name_option(error: SettingInvalid, options: argparse.Namespace) -> SettingInvalid:
    """Return the error with the option's name, if an option set the value."""
    for option, setting in OPTION_SETTINGS.items():
        if error.fields.get("setting") == setting and getattr(options, option) is not None:
            flag = f"--{option.replace('_', '-')}"
            text = error.message.replace(setting, flag)
            return SettingInvalid(text, hint=f"Correct {flag}.", setting=setting)
    return error


def explain_overridden(
    report: Report, environment: Mapping[str, str], options: argparse.Namespace
) -> Report:
    """Return the report in the words of the options that were given.

    They take the place of their settings; a setting that an option overrides is explained.
    """
    error = report.error
    if error is None or error.hint is None or not options.database_url:
        return _name_options(report, options)
    for name in _OVERRIDDEN["database_url"]:
        if name in environment and error.hint == f"Set {name}.":
            hint = (
                f"--database-url overrides {name} in the environment: write"
                " --database-url postgresql://USER@HOST:PORT/DATABASE, or leave the option out."
            )
            message = error.message.replace(f"{name} is not set", f"{name} is overridden")
            error = replace(error, message=message, hint=hint)
            return replace(report, error=error, next_action=hint)
    return _name_options(report, options)


def _name_options(report: Report, options: argparse.Namespace) -> Report:
    """Return the report with the name of each option in place of the setting that it gave."""
    error = report.error
    if error is None:
        return report
    message, hint = error.message, error.hint
    for option in _REPEATED:
        if getattr(options, option):
            message = _name_given(message, option)
            hint = None if hint is None else _name_given(hint, option)
    action = hint if report.next_action == error.hint else report.next_action
    return replace(report, error=replace(error, message=message, hint=hint), next_action=action)


def _name_given(text: str, option: str) -> str:
    flag = f"--{option.replace('_', '-')}"
    setting = OPTION_SETTINGS[option]
    return re.sub(rf"\b{setting}\b(?: \(or {flag}\))?(?!=)", flag, text)


def repeat_options(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the options that another command for the same database and folder needs.

    A password in a URL is replaced by the word PASSWORD.
    """
    words: list[str] = []
    for option in _REPEATED:
        value = getattr(options, option)
        if option == "database_url" and value:
            value = _without_password(value)
        if value:
            words += (f"--{option.replace('_', '-')}", value)
    return (*words, "--local") if options.local else tuple(words)


def _without_password(url: str) -> str:
    """Return a URL with PASSWORD in place of its password."""
    scheme, separator, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    # A password may contain a colon; a user's name may not.
    user, colon, _ = login.partition(":")
    return f"{scheme}{separator}{user}:PASSWORD@{place}" if at and colon else url
