"""Environment variables that a migration may see."""

from __future__ import annotations

# Never available to migrations: credentials must not end up in a schema.
WITHHELD_PREFIXES = ("AWS_", "LOCKGATE_", "_")
