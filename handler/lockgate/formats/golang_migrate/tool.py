"""golang-migrate as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import SessionRule
from lockgate.core.migration import ALONE_OUTSIDE
from lockgate.formats.golang_migrate.reader import read_folder, recognise
from lockgate.formats.golang_migrate.table import SHAPE, read_table
from lockgate.formats.shared.table_name import from_address
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="golang-migrate",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        find_name=from_address("x-migrations-table"),
    ),
    evidence="has schema_migrations (version, dirty)",
    outside=ALONE_OUTSIDE,
    session=SessionRule.KEPT,
)
