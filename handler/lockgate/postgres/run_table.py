"""The run table: one row for each run that wanted to change something. Begun by the lock's taking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.postgres.quoting import quote_literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.postgres.connection import Connection
    from lockgate.postgres.schema import Tables

_FINISH = """
UPDATE {run}
SET finished_at = pg_catalog.clock_timestamp(), status = {status}, from_version = {from_version},
    to_version = {to_version}, report = {report}::jsonb
WHERE run_id = {run_id}
"""


_IS_FINISHED = """
SELECT finished_at IS NOT NULL AND status <> 'abandoned' FROM {run} WHERE run_id = {run_id}
"""


def is_finished(connection: Connection, tables: Tables, run_id: str) -> bool:
    """Return whether a run recorded its own end."""
    sql = _IS_FINISHED.format(run=tables.run, run_id=quote_literal(run_id))
    rows = connection.send(sql)[0].rows
    return bool(rows and rows[0][0])


def finish_sql(tables: Tables, run_id: str, outcome: Mapping[str, str | None]) -> str:
    """Return the statement that records a run's end.

    ``outcome`` has ``status``, ``from_version``, ``to_version`` and ``report`` (JSON text).
    """
    values = {name: quote_literal(value) for name, value in outcome.items()}
    return _FINISH.format(run=tables.run, run_id=quote_literal(run_id), **values)
