"""Alembic as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import SessionRule
from lockgate.formats.alembic.reader import complete_history, read_folder, recognise
from lockgate.formats.alembic.table import SHAPE, find_table_name, read_table
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="alembic",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        complete=complete_history,
        find_name=find_table_name,
    ),
    evidence="has alembic_version",
    outside="use op.get_context().autocommit_block()",
    session=SessionRule.KEPT,
)
