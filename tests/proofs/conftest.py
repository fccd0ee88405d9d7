"""The fixtures of the proofs: the installed tools, and one tool with a project to compare."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.proofs.kit import Proof, Tool
from tests.proofs.peers import PEERS_VARIABLE, Peers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeDatabase


@pytest.fixture(scope="session")
def peers() -> Peers:
    """Return the tools that are installed here."""
    named = os.environ.get(PEERS_VARIABLE)
    return Peers(Path(named).resolve() if named else None)


@pytest.fixture
def prove(peers: Peers, make_database: MakeDatabase, tmp_path: Path) -> Callable[[Tool], Proof]:
    """Return a function that starts a proof with a tool."""

    def start(tool: Tool) -> Proof:
        return Proof(tool, peers, tmp_path, make_database(), make_database())

    return start
