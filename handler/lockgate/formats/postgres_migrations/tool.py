"""postgres-migrations as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import SessionRule
from lockgate.formats.postgres_migrations.reader import read_folder, recognise
from lockgate.formats.postgres_migrations.table import (
    SHAPE,
    file_checksum,
    matches_checksum,
    read_table,
)
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="postgres-migrations",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        file_checksum=file_checksum,
        matches_checksum=matches_checksum,
    ),
    evidence="has migrations (id, name, hash, executed_at)",
    outside="write -- postgres-migrations disable-transaction at its top",
    session=SessionRule.KEPT,
    has_downs=False,
)
