"""Flyway as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import SessionRule
from lockgate.formats.flyway.config import find_table_name
from lockgate.formats.flyway.reader import read_folder, recognise
from lockgate.formats.flyway.table import SHAPE, align, file_checksum, matches_checksum, read_table
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="flyway",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        file_checksum=file_checksum,
        matches_checksum=matches_checksum,
        align=align,
        find_name=find_table_name,
    ),
    evidence="has flyway_schema_history",
    outside="write executeInTransaction=false into FILE.sql.conf beside it, or set flyway.mixed=true,",
    session=SessionRule.SETTINGS,
)
