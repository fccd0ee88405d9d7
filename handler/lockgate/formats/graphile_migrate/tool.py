"""graphile-migrate as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import SessionRule
from lockgate.formats.graphile_migrate.reader import read_folder, recognise
from lockgate.formats.graphile_migrate.table import SHAPE, file_checksum, read_table
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="graphile-migrate",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        file_checksum=file_checksum,
    ),
    evidence="has graphile_migrate.migrations",
    outside="write --! no-transaction as the first line of its body",
    session=SessionRule.KEPT,
    has_downs=False,
)
