"""Settings, URL, secret and IAM are combined in a fixed order of precedence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.support.access import make_access

from lockgate.aws.access import AccessSource
from lockgate.aws.parts import SecretStage
from lockgate.core.endpoint import Access, Credentials, Endpoint
from lockgate.core.policy import Tls
from lockgate.errors import CredentialsRejected, SettingInvalid
from lockgate.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

MASTER = {"username": "app", "password": "pw"}
FULL = {**MASTER, "host": "db.example", "port": 6543, "dbname": "orders", "engine": "postgres"}
URL = "postgresql://app:pw@db.example:6543/orders"
NOTHING_GIVEN = (
    "No database is given: LOCKGATE_SECRET_ARN, LOCKGATE_DATABASE_URL and LOCKGATE_IAM_AUTH"
    " are not set."
)
RDS_HOST = "main.cluster-abc.eu-central-1.rds.amazonaws.com"


def no_clients(service: str, region: str | None) -> Any:
    """Fail on any use of AWS."""
    raise AssertionError(f"a client of {service} in {region} was asked for")


def test_url_is_read_without_aws() -> None:
    """A URL alone is sufficient, and the origin names the setting."""
    expected = Access(
        Endpoint("db.example", 6543, "orders"), Credentials("app", "pw", "LOCKGATE_DATABASE_URL")
    )
    assert expected == make_access(Settings(database_url=URL), no_clients)


def test_url_without_much_gets_defaults() -> None:
    """Port and database default to PostgreSQL's values, and a missing password is empty."""
    expected = Access(
        Endpoint("localhost", 5432, "postgres"), Credentials("app", "", "LOCKGATE_DATABASE_URL")
    )
    assert expected == make_access(Settings(database_url="postgres://app@localhost"), no_clients)


def test_secret_goes_before_a_url(make_secret: Callable[..., str]) -> None:
    """A secret takes precedence over a URL, which is then not read."""
    arn = make_secret(FULL)
    source = AccessSource(Settings(secret_arn=arn, database_url="no url"))
    assert Endpoint("db.example", 6543, "orders") == source.access(SecretStage.CURRENT).endpoint


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"host": "other"}, (Endpoint("other", 6543, "orders"), "app")),
        ({"port": 7000}, (Endpoint("db.example", 7000, "orders"), "app")),
        ({"dbname": "shop"}, (Endpoint("db.example", 6543, "shop"), "app")),
        ({"username": "owner"}, (Endpoint("db.example", 6543, "orders"), "owner")),
    ],
)
@pytest.mark.parametrize("source", ["secret", "url"])
def test_setting_overrides_one_field(
    make_secret: Callable[..., str],
    source: str,
    settings: dict[str, Any],
    expected: tuple[Endpoint, str],
) -> None:
    """Each setting replaces only its own field."""
    secret_arn = make_secret(FULL) if source == "secret" else None
    given = Settings(secret_arn=secret_arn, database_url=URL)
    access = make_access(replace(given, **settings))
    assert expected == (access.endpoint, access.credentials.username)
    assert access.credentials.password == "pw"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            Settings(),
            NOTHING_GIVEN,
        ),
        (
            Settings(host="db.example", username="app"),
            NOTHING_GIVEN,
        ),
        (
            Settings(iam_auth=True, username="app"),
            "No host is given: there is none in the settings, and LOCKGATE_HOST is not set.",
        ),
        (
            Settings(iam_auth=True, host=RDS_HOST),
            "No user is given: there is none in the settings, and LOCKGATE_USERNAME is not set.",
        ),
        (
            Settings(database_url="postgresql:///orders"),
            "No host is given: there is none in LOCKGATE_DATABASE_URL, and LOCKGATE_HOST is not set.",
        ),
        (
            Settings(iam_auth=True, host=RDS_HOST, username="app", tls=Tls.OFF),
            "An IAM token is only accepted over TLS, and TLS is off.",
        ),
    ],
)
def test_settings_that_lead_nowhere_are_refused(settings: Settings, problem: str) -> None:
    """The message names the missing setting, before any request to AWS."""
    with pytest.raises(SettingInvalid) as caught:
        make_access(settings, no_clients)
    assert f"{problem}" == str(caught.value)


def test_secret_without_password_needs_iam(make_secret: Callable[..., str]) -> None:
    """A secret without a password is only sufficient for IAM authentication."""
    settings = Settings(secret_arn=make_secret({"username": "app"}), host=RDS_HOST)
    with pytest.raises(CredentialsRejected, match="There is no password in secret prod/db"):
        make_access(settings)
    access = make_access(replace(settings, iam_auth=True))
    assert access.credentials.origin == "IAM token for app"


def test_iam_token_is_signed_for_the_host_and_its_region() -> None:
    """The token contains host, port and user, and is signed for the region in the host name."""
    access = make_access(Settings(iam_auth=True, host=RDS_HOST, username="app", port=6543))
    token = urlsplit(f"https://{access.credentials.password}")
    query = parse_qs(token.query)
    assert f"{RDS_HOST}:6543" == token.netloc
    assert (query["Action"], query["DBUser"]) == (["connect"], ["app"])
    assert "/eu-central-1/rds-db/aws4_request" in query["X-Amz-Credential"][0]


def test_iam_without_aws_credentials_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without AWS credentials, the error says that there are none."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(
        CredentialsRejected, match="The IAM token cannot be read: this process has no"
    ):
        make_access(Settings(iam_auth=True, host=RDS_HOST, username="app"))


def test_rotation_in_flight_offers_the_pending_version(
    make_secret: Callable[..., str], secrets: Any
) -> None:
    """During a rotation the source returns the current version twice, and then the pending one."""
    arn = make_secret(FULL)
    source = AccessSource(Settings(secret_arn=arn))
    assert source.access(SecretStage.PENDING) is None
    first = source.access(SecretStage.CURRENT)
    secrets.put_secret_value(
        SecretId=arn,
        SecretString=json.dumps({**FULL, "password": "next"}),
        VersionStages=["AWSPENDING"],
    )
    again, pending = source.access(SecretStage.CURRENT), source.access(SecretStage.PENDING)
    assert first == again
    assert pending is not None
    assert (again.credentials.password, pending.credentials.password) == ("pw", "next")
    assert "(AWSPENDING)" in pending.credentials.origin


def test_current_is_read_afresh_after_a_rotation(
    make_secret: Callable[..., str], secrets: Any
) -> None:
    """A rotated secret is visible immediately, and the origin names its version."""
    arn = make_secret(FULL)
    source = AccessSource(Settings(secret_arn=arn))
    first = source.access(SecretStage.CURRENT)
    secrets.put_secret_value(SecretId=arn, SecretString=json.dumps({**FULL, "password": "next"}))
    second = source.access(SecretStage.CURRENT)
    assert "next" == second.credentials.password
    assert first.credentials.origin != second.credentials.origin


def test_pending_stage_on_the_current_version_is_not_a_rotation(
    make_secret: Callable[..., str], secrets: Any
) -> None:
    """AWSPENDING left on the current version does not count as a rotation."""
    arn = make_secret(FULL)
    source = AccessSource(Settings(secret_arn=arn))
    source.access(SecretStage.CURRENT)
    version = secrets.get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["VersionId"]
    secrets.update_secret_version_stage(
        SecretId=arn, VersionStage="AWSPENDING", MoveToVersionId=version
    )
    assert source.access(SecretStage.PENDING) is None


@pytest.mark.parametrize(
    "settings",
    [Settings(database_url=URL), Settings(iam_auth=True, host=RDS_HOST, username="app")],
    ids=["url", "iam"],
)
def test_only_secrets_have_a_pending_version(settings: Settings) -> None:
    """A URL and an IAM token have no second password to try."""
    assert AccessSource(settings, no_clients).access(SecretStage.PENDING) is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Tls.REQUIRE),
        ("?sslmode=disable", Tls.OFF),
        ("?sslmode=verify-full", Tls.VERIFY_FULL),
    ],
)
@pytest.mark.parametrize("in_secret", [False, True], ids=["url", "secret"])
def test_sslmode_of_a_url_goes_before_the_setting(
    make_secret: Callable[..., str], query: str, expected: Tls, *, in_secret: bool
) -> None:
    """The sslmode of a URL takes precedence over LOCKGATE_TLS, wherever the URL comes from."""
    url = URL + query
    secret_arn = make_secret({"url": url}) if in_secret else None
    source = AccessSource(Settings(secret_arn=secret_arn, database_url=url, tls=Tls.REQUIRE))
    assert expected == source.access(SecretStage.CURRENT).tls


def test_credentials_show_no_password(make_secret: Callable[..., str]) -> None:
    """The repr contains the user and the origin, but not the password."""
    arn = make_secret({**FULL, "password": "hunter2"})
    source = AccessSource(Settings(secret_arn=arn))
    shown = f"{source.access(SecretStage.CURRENT)!r} {source!r}"
    assert "hunter2" not in shown
    assert "secret prod/db version" in shown
