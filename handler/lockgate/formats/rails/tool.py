"""Rails as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import NATIVE_MARKERS
from lockgate.formats.rails.reader import read_folder, recognise
from lockgate.formats.rails.table import SHAPE, find_table_name, read_table
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="rails",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        find_name=find_table_name,
    ),
    evidence="has schema_migrations (version) and ar_internal_metadata",
    markers=NATIVE_MARKERS,
    takes_native_files=True,
)
