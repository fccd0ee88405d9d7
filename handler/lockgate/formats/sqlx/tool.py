"""sqlx as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import SessionRule
from lockgate.formats.sqlx.reader import read_folder, recognise
from lockgate.formats.sqlx.table import SHAPE, file_checksum, find_table_name, read_table
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="sqlx",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        file_checksum=file_checksum,
        find_name=find_table_name,
    ),
    evidence="has _sqlx_migrations",
    outside="begin the file with -- no-transaction",
    session=SessionRule.KEPT,
    is_like_native=True,
)
