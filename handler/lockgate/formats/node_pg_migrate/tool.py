"""node-pg-migrate as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import Markers, SessionRule
from lockgate.formats.node_pg_migrate.reader import read_folder, recognise
from lockgate.formats.node_pg_migrate.settings import find_table_name
from lockgate.formats.node_pg_migrate.table import SHAPE, read_table
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="node-pg-migrate",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        find_name=find_table_name,
    ),
    evidence="has pgmigrations",
    outside=None,
    session=SessionRule.KEPT,
    markers=Markers("-- Up Migration", "-- Down Migration"),
)
