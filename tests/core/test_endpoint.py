"""Properties of a host, derived from its name."""

from __future__ import annotations

import pytest

from lockgate.core.endpoint import is_loopback


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("10.0.0.7", False), ("db", False)],
)
def test_loopback_is_this_machine(host: str, *, expected: bool) -> None:
    """Loopback hosts are recognised by name, without resolving it."""
    assert expected == is_loopback(host)
