"""An RDS host name identifies its resource."""

from __future__ import annotations

import pytest

from lockgate.aws.rds_host import EndpointKind, find_region, parse_rds_host

RDS = "eu-west-1.rds.amazonaws.com"


@pytest.mark.parametrize(
    ("host", "kind", "name"),
    [
        (f"main.cluster-c1a2b3.{RDS}", EndpointKind.CLUSTER, "main"),
        (f"main.cluster-ro-c1a2b3.{RDS}", EndpointKind.CLUSTER, "main"),
        (f"some.cluster-custom-c1a2b3.{RDS}", EndpointKind.CUSTOM, "some"),
        (f"single.c1a2b3.{RDS}", EndpointKind.INSTANCE, "single"),
        (f"front.proxy-c1a2b3.{RDS}", EndpointKind.PROXY, "front"),
        (f"more.endpoint.proxy-c1a2b3.{RDS}", EndpointKind.PROXY_ENDPOINT, "more"),
        (f"a-b-1.c1a2b3.{RDS}.", EndpointKind.INSTANCE, "a-b-1"),
        (f"MAIN.Cluster-C1A2B3.{RDS.upper()}", EndpointKind.CLUSTER, "main"),
    ],
)
def test_host_of_rds_names_its_endpoint(host: str, kind: EndpointKind, name: str) -> None:
    """Case and a trailing dot are ignored."""
    found = parse_rds_host(host)
    assert found is not None
    assert (kind, name, "eu-west-1") == (found.kind, found.name, found.region)
    assert host.lower().rstrip(".") == found.host


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("a.c1.us-gov-west-1.rds.amazonaws.com", "us-gov-west-1"),
        ("a.c1.ap-southeast-2.rds.amazonaws.com", "ap-southeast-2"),
        ("a.c1.cn-north-1.rds.amazonaws.com.cn", "cn-north-1"),
        ("a.c1.rds.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"),
        ("a.cluster-c1.rds.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ],
)
def test_host_of_rds_names_its_region(host: str, region: str) -> None:
    """The region is found in Chinese host names as well, where it may precede or follow the service."""
    found = parse_rds_host(host)
    assert found is not None
    assert region == found.region
    assert region == find_region(host)


@pytest.mark.parametrize(
    "host",
    [
        "db.internal",
        "localhost",
        "10.0.0.7",
        "::1",
        RDS,
        f"single.c1a2b3.{RDS}.example.com",
        "single.c1a2b3.eu-west-1.redshift.amazonaws.com",
        f"wide.shardgrp-c1a2b3.{RDS}",
        "world.global-c1a2b3.global.rds.amazonaws.com",
        f"more.endpoint.c1a2b3.{RDS}",
        f"a.b.c.{RDS}",
        "",
    ],
)
def test_other_host_names_no_database(host: str) -> None:
    """A host name of an unknown form is not guessed at."""
    assert parse_rds_host(host) is None


def test_region_is_found_in_endpoints_that_are_not_followed() -> None:
    """The region for an IAM token is found even if the endpoint kind is not supported."""
    assert "eu-west-1" == find_region(f"wide.shardgrp-c1a2b3.{RDS}")
    assert find_region("world.global-c1a2b3.global.rds.amazonaws.com") is None
