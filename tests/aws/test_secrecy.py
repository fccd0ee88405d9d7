"""No password reaches a message, a repr, a traceback or a log, whichever way a call ends."""

from __future__ import annotations

import io
import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.aws.access import AccessSource
from lockgate.aws.parts import SecretStage
from lockgate.aws.secrets import check_secret_id
from lockgate.errors import LockgateError, SettingInvalid
from lockgate.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORD = "SENTINEL"
MASTER = {"username": "app", "password": WORD, "host": "db.example"}
RDS_HOST = "main.cluster-abc.eu-west-1.rds.amazonaws.com"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Return everything that the loggers write while the root logger is at DEBUG."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root, botocore = logging.getLogger(), logging.getLogger("botocore")
    levels = root.level, botocore.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    botocore.setLevel(logging.NOTSET)
    yield written
    root.removeHandler(handler)
    root.setLevel(levels[0])
    botocore.setLevel(levels[1])


def hear(settings: Settings) -> str:
    """Return everything that a request for access shows, however it ends."""
    source = AccessSource(settings)
    shown = []
    for stage in SecretStage:
        try:
            shown.append(repr(source.access(stage)))
        except LockgateError as error:
            shown += [repr(error), str(error.hint), repr(error.fields)]
            shown += traceback.format_exception(error)
            context = error.__context__
            while context is not None:
                shown.append(f"{context!r} {vars(context)}")
                context = context.__context__
    return f"{source!r} {settings!r} " + "".join(shown)


@pytest.mark.parametrize(
    "value",
    [
        MASTER,
        {"url": f"postgresql://app:{WORD}@db.example/d"},
        f"postgresql://app:{WORD}@db.example/d",
        {**MASTER, "engine": WORD},
        {**MASTER, "port": WORD},
        {**MASTER, "username": [WORD]},
        {"user": "app", "password": WORD},
        {"password": WORD},
        {"username": "app", "password": {"value": WORD}, "host": "h"},
        {"url": f"postgresql://app:{WORD}@h:{WORD}/d"},
        {"url": f"postgresql://app:1234/{WORD}@h"},
        {"url": f"mysql://app:{WORD}@h"},
        {"username": "app", "password": WORD},
        [WORD],
        f'"{WORD}"',
        f'{{"password": "{WORD}',
        WORD,
    ],
)
@pytest.mark.parametrize("more", [{}, {"iam_auth": True, "host": RDS_HOST}], ids=["plain", "iam"])
def test_secret_reveals_nothing(
    make_secret: Callable[..., str], log: io.StringIO, value: object, more: dict[str, Any]
) -> None:
    """For valid and invalid secrets, no value is shown or logged."""
    arn = make_secret(value)
    # Discard the log of the test's own client, which stored the secret.
    log.truncate(log.seek(0))
    heard = hear(Settings(secret_arn=arn, **more))
    assert "prod/db" in heard or "IAM token" in heard
    assert WORD not in heard
    assert WORD not in log.getvalue()


@pytest.mark.parametrize(
    "rest", ["@h/d", "#@h", "/@h", "?x", "%ff@h", "@h:x", "@h?sslmode=no", "[@h"]
)
def test_url_in_the_settings_reveals_nothing(log: io.StringIO, rest: str) -> None:
    """Whatever follows the password in the URL, the password is not shown."""
    assert WORD not in hear(Settings(database_url=f"postgresql://app:{WORD}{rest}"))
    assert WORD not in log.getvalue()


def test_signature_of_an_iam_token_is_not_logged(log: io.StringIO) -> None:
    """The signature of a token, which is valid for 15 minutes, is never logged."""
    settings = Settings(iam_auth=True, host=RDS_HOST, username="app")
    token = AccessSource(settings).access(SecretStage.CURRENT).credentials.password
    signature = token.partition("X-Amz-Signature=")[2]
    assert len(signature) == 64
    assert signature not in hear(settings)
    assert signature not in log.getvalue()


@pytest.mark.parametrize(
    "secret_id",
    [
        f"postgresql://app:{WORD}@h/d",
        f'{{"password": "{WORD}"}}',
        f"arn:aws:s3:::{WORD}",
        f"{WORD} ",
        "",
    ],
)
def test_value_in_the_place_of_the_arn_is_refused_unquoted(secret_id: str) -> None:
    """A secret's value in place of its ARN is refused without showing it."""
    with pytest.raises(SettingInvalid, match="neither the ARN nor the name of a secret"):
        check_secret_id(secret_id)
    shown = hear(Settings(secret_arn=secret_id)).replace(repr(Settings(secret_arn=secret_id)), "")
    assert WORD not in shown


@pytest.mark.parametrize(
    "secret_id",
    [
        "prod/db",
        "rds!cluster-11111111-2222-3333-4444-555555555555",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1111-AbCdEf",
        "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:prod/db-AbCdEf",
    ],
)
def test_name_and_arn_are_accepted(secret_id: str) -> None:
    """Names and ARNs of secrets are accepted."""
    assert secret_id == check_secret_id(secret_id)
