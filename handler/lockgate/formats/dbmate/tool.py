"""dbmate as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import NATIVE_MARKERS, SessionRule
from lockgate.formats.dbmate.reader import read_folder, recognise
from lockgate.formats.dbmate.table import SHAPE, read_table
from lockgate.formats.shared.table_name import from_variable
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="dbmate",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        find_name=from_variable("DBMATE_MIGRATIONS_TABLE"),
    ),
    evidence="has schema_migrations (version)",
    session=SessionRule.KEPT,
    markers=NATIVE_MARKERS,
    is_like_native=True,
    takes_native_files=True,
)
