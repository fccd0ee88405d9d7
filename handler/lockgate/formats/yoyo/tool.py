"""yoyo as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.formats.tool import HistoryTable, Tool
from lockgate.formats.yoyo.reader import read_folder, recognise
from lockgate.formats.yoyo.table import SHAPE, find_table_name, read_table

TOOL = Tool(
    name="yoyo",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        find_name=find_table_name,
    ),
    evidence="has _yoyo_migration",
    outside="write -- transactional: false above its SQL",
)
