"""Prisma as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import SessionRule
from lockgate.core.migration import ALONE_OUTSIDE
from lockgate.formats.prisma.reader import read_folder, recognise
from lockgate.formats.prisma.table import SHAPE, file_checksum, matches_checksum, read_table
from lockgate.formats.shared.table_name import from_address
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="prisma",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        file_checksum=file_checksum,
        matches_checksum=matches_checksum,
        find_name=from_address("schema", "_prisma_migrations"),
    ),
    evidence="has _prisma_migrations",
    outside=ALONE_OUTSIDE,
    session=SessionRule.KEPT,
    has_downs=False,
)
