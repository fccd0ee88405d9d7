"""How scripts run with respect to transactions."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """How a script runs with respect to transactions."""

    SHARED = "shared"
    OWN_TRANSACTION = "own_transaction"
    STATEMENTS = "statements"


class UnitMode(StrEnum):
    """How one unit of a script outside a shared transaction is sent."""

    WRAPPED = "wrapped"
    BLOCK = "block"
    ALONE = "alone"
    SESSION = "session"
