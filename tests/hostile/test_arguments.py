"""Run commands with hostile arguments, settings and events: each ends readably within seconds."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.lambda_context import LambdaContext

from lockgate.awslambda import app
from lockgate.core.request import Action
from lockgate.errors import LockgateError
from lockgate.settings import SETTINGS
from lockgate.terminal.environment import OPTION_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.conftest import Ending

TEXTS = [
    *(
        "",
        " ",
        "\0",
        "\n",
        "\x1b[31m",
        "\ud800",
        os.fsdecode(b"\xff"),
        "'",
        '"',
        "--",
        "-",
        "=",
        "💥",
    ),
    *("%s", "{}", "${A}", "$(true)", "../..", "/", "/dev/zero", "/dev/null", "/proc/self/mem"),
    *(
        "-1",
        "0",
        "1e999",
        "NaN",
        "Infinity",
        "9" * 5_000,
        "99999999999999999999d",
        "\u0661s",
        "0x10",
    ),
    *("x" * 100_000, "a\u202eb", "[" * 5_000, "true", "null", "arn:", "arn:" * 500),
]
URLS = [
    *(
        "postgresql://",
        "postgresql:///",
        "postgresql://@",
        "postgresql://:@:",
        "postgres://[",
        "http://x",
    ),
    *(
        "postgresql://[::1",
        "postgresql://[::1]:x/y",
        "postgresql://h:99999/d",
        "postgresql://h:-1/d",
    ),
    *("postgresql://u:p@h:5432:5432/d", "postgresql://%zz@h/d", "postgresql://%00@h/d"),
    *(
        "postgresql://u@h/d?sslmode=nonsense",
        "postgresql://u@h/d?host=%2Ftmp",
        "postgresql://u@h,i/d",
    ),
    *(
        "postgresql://u@\u2100/d",
        "postgresql://u@h\ud800/d",
        "postgresql://u@h/d?" + "a=b&" * 5_000,
    ),
    *(
        "postgresql://u@" + "h" * 300 + "/d",
        "postgresql://u@xn--" + "a" * 80 + "/d",
        "postgresql://u@.../d",
    ),
    "postgresql://u@127.0.0.1:1/d\0",
]
NOWHERE = {
    "LOCKGATE_DATABASE_URL": "postgresql://ada:x@127.0.0.1:1/shop?sslmode=disable",
    "LOCKGATE_CONNECT_BUDGET": "100ms",
}


def _is_long_wait(name: str, text: str) -> bool:
    """Return whether a text sets a long waiting time: many days, or the default if empty."""
    return name.lower().endswith("_budget") and (text.endswith("d") or not text.strip())


@pytest.mark.parametrize("option", sorted({*OPTION_SETTINGS, "target", "steps", "reason"}))
def test_any_value_of_any_option_ends_readably(
    end_readably: Callable[..., Ending], option: str
) -> None:
    """Each option with a value accepts or refuses any text readably."""
    action = "down" if option in {"target", "steps"} else "up"
    for text in [*TEXTS, *(URLS if option == "database_url" else ())]:
        if _is_long_wait(option, text):
            continue
        end_readably(action, f"--{option.replace('_', '-')}", text, "--json", environment=NOWHERE)
        end_readably(action, f"--{option.replace('_', '-')}={text}", environment=NOWHERE)


@pytest.mark.parametrize("option", ["dir", "format", "atomicity"])
def test_any_value_of_any_option_of_a_check_ends_readably(
    end_readably: Callable[..., Ending], option: str
) -> None:
    """Each option of a check accepts or refuses any text readably, as JSON and as lines."""
    for text in TEXTS:
        assert end_readably("check", "--json", f"--{option}={text}").out.startswith("{")
        end_readably("check", f"--{option}", text, environment=NOWHERE)


@pytest.mark.parametrize(
    "action", ["up", "plan", "check", "new", "repair", "adopt", "baseline", "nonsense", ""]
)
def test_any_argument_of_any_command_ends_readably(
    end_readably: Callable[..., Ending], tmp_path: Any, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """Each command accepts or refuses any argument readably."""
    monkeypatch.chdir(tmp_path)
    for text in TEXTS:
        end_readably(action, text, environment=NOWHERE)
        end_readably(action, "--json", f"--{text}", environment=NOWHERE)


@pytest.mark.parametrize("setting", [setting.name for setting in SETTINGS])
def test_any_value_of_any_setting_ends_readably(
    end_readably: Callable[..., Ending], setting: str
) -> None:
    """Each setting accepts or refuses any text that the environment can hold readably."""
    for text in [*TEXTS, *URLS]:
        if "\0" in text or len(text) > 20_000 or "\ud800" in text:
            continue
        if _is_long_wait(setting, text):
            continue
        environment = {**NOWHERE, "AWS_EC2_METADATA_DISABLED": "true", setting: text}
        if setting == "LOCKGATE_SECRET_ARN":
            del environment["LOCKGATE_DATABASE_URL"]
        end_readably("up", "--json", environment=environment)


VALUES: tuple[Any, ...] = ("\0", "\ud800", -1, 10**400, [], {}, None, True, "x" * 100_000)
EVENTS: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1e308,
        "",
        "x",
        "\0",
        [],
        [[]],
        {},
        {"": ""},
        {"action": None},
        {"action": []},
    ),
    *({"action": action.value} for action in Action),
    *({"action": text} for text in TEXTS),
    *(
        {"action": "up", key: value}
        for key in ("target", "steps", "reason", "limit", "dry_run", "x")
        for value in VALUES
    ),
    {"tf": None},
    {"tf": {"action": []}},
    {"Records": [{"eventSource": "aws:sqs", "body": "{"}]},
    {"RequestType": "Create"},
    {"CodePipeline.job": None},
    {"CodePipeline.job": {"id": 1, "data": []}},
    {"DeploymentId": [], "LifecycleEventHookExecutionId": {}},
    json.loads("[" * 500 + "]" * 500),
    json.loads('{"a":' * 500 + "1" + "}" * 500),
    {"action": json.loads("[" * 500 + "]" * 500)},
]


@pytest.mark.parametrize("number", range(len(EVENTS)))
def test_any_event_is_answered_readably(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hurry: None, number: int
) -> None:
    """The handler answers any event readably; one that it cannot answer raises a public error."""
    del hurry
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    context: Any = LambdaContext(deadline_ms=60_000)
    try:
        answer = json.dumps(app.lambda_handler(EVENTS[number], context))
    except LockgateError as error:
        answer = f"{type(error).__name__} {error}"
    assert "unexpected-failure" not in answer
    assert "unexpected_failure" not in capsys.readouterr().out
