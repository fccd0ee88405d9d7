"""Diesel as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import SessionRule
from lockgate.formats.diesel.reader import read_folder, recognise
from lockgate.formats.diesel.table import SHAPE, read_table
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="diesel",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
    ),
    evidence="has __diesel_schema_migrations",
    outside="write run_in_transaction = false into a metadata.toml beside it",
    session=SessionRule.KEPT,
)
