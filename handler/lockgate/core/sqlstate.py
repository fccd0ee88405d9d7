"""The SQLSTATEs by which several modules decide."""

from __future__ import annotations

# lock_not_available and deadlock_detected: another session uses the table, usually not for long.
LOCK_CONFLICTS = frozenset({"55P03", "40P01"})
# query_canceled: by Lockgate, by somebody else or by statement_timeout.
CANCELLED = "57014"
# How a statement fails that waited for another session.
WAITED = LOCK_CONFLICTS | {CANCELLED}
