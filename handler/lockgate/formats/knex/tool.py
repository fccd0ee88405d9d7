"""Knex as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import SessionRule
from lockgate.formats.knex.reader import read_folder, recognise
from lockgate.formats.knex.table import SHAPE, find_table_name, read_table
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="knex",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        find_name=find_table_name,
    ),
    evidence="has knex_migrations",
    outside=None,
    session=SessionRule.KEPT,
)
