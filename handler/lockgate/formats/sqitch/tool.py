"""Sqitch as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.formats.sqitch.config import find_table_name
from lockgate.formats.sqitch.reader import complete_history, read_folder, recognise
from lockgate.formats.sqitch.table import SHAPE, file_checksum, read_table
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="sqitch",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        file_checksum=file_checksum,
        complete=complete_history,
        find_name=find_table_name,
    ),
    evidence="has sqitch.changes",
    outside=None,
)
