"""Servers that are refused in one sentence, and RDS Proxy, which is accepted."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.core.endpoint import is_dsql, is_rds_proxy
from lockgate.core.request import Action
from lockgate.postgres.server.unsupported_servers import is_behind_rds_proxy
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

DSQL = "foo0bar1baz2quux3quuux4.dsql.us-east-1.on.aws"
PROXY = "shop.proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (DSQL, True),
        (DSQL.upper(), True),
        ("abc.dsql-fnh4.eu-west-1.on.aws", True),
        ("dsql.example.com", False),
        ("abc.rds.us-east-1.on.aws", False),
        ("abc.dsql.us-east-1.on.aws.example.com", False),
    ],
)
def test_host_of_dsql_is_recognised(host: str, *, expected: bool) -> None:
    """Only the full host name pattern of DSQL matches."""
    assert expected == is_dsql(host)


@pytest.mark.parametrize("action", [Action.UP, Action.STATUS])
def test_dsql_is_refused_before_it_is_connected_to(
    project: Project, monkeypatch: pytest.MonkeyPatch, action: Action
) -> None:
    """Aurora DSQL is refused in one sentence, before connecting."""

    def connect(*_: object, **__: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket, "create_connection", connect)
    project.write({"1_a.sql": "SELECT 1;"})
    report = project.run(action, LOCKGATE_DATABASE_URL=f"postgresql://admin:x@{DSQL}/postgres")
    assert report.error is not None
    assert (Status.REFUSED, "target-unsuitable") == (report.status, report.error.code)
    assert report.error.message.startswith(f"{DSQL} is Aurora DSQL, ")
    assert report.error.message.removesuffix(" Nothing was changed.").count(". ") == 0


@pytest.mark.parametrize(
    "sign",
    [
        "CREATE VIEW rds_aurora.limitless_tables AS SELECT 1 AS i",
        "CREATE FUNCTION rds_aurora.limitless_reset() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_limitless_is_refused(project: Project, sign: str) -> None:
    """A Limitless database is recognised by its own catalog objects."""
    project.database.run(f"CREATE SCHEMA rds_aurora; {sign}")
    project.write({"1_a.sql": "SELECT 1;"})
    for action in (Action.UP, Action.STATUS):
        report = project.run(action)
        assert report.error is not None
        assert (Status.REFUSED, "target-unsuitable") == (report.status, report.error.code)
        assert "is an Aurora PostgreSQL Limitless Database" in report.error.message
        assert report.error.message.removesuffix(" Nothing was changed.").count(". ") == 0
    assert [[None]] == project.database.run("SELECT to_regnamespace('lockgate')::text")


@pytest.mark.parametrize(
    ("host", "canonical", "expected"),
    [
        (PROXY, PROXY, True),
        (f"reader.endpoint.{PROXY.partition('.')[2]}", "", True),
        ("db.example.com", PROXY, True),
        ("db.example.com", "db.example.com", False),
        ("pool.proxy-internal.example.com", "pool.proxy-internal.example.com", False),
    ],
)
def test_rds_proxy_is_recognised_by_its_name_or_an_alias(
    monkeypatch: pytest.MonkeyPatch, host: str, canonical: str, *, expected: bool
) -> None:
    """An alias is resolved through DNS, and a name that only looks similar is another pooler."""

    def resolve(*_: Any, **__: Any) -> list[Any]:
        address = ("10.0.0.1", 0)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, canonical, address),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", address),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert expected == is_behind_rds_proxy(host)
    assert not is_rds_proxy("db.example.com")
