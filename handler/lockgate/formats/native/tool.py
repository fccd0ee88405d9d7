"""Lockgate's own format, as a tool among the others."""

from __future__ import annotations

from lockgate.core.catalog import NATIVE_MARKERS
from lockgate.formats.native.reader import read_folder
from lockgate.formats.native.signs import find_native_sign
from lockgate.formats.tool import Tool

TOOL = Tool(
    name="lockgate",
    read_folder=read_folder,
    recognise=find_native_sign,
    table=None,
    evidence="has none before Lockgate's first run",
    markers=NATIVE_MARKERS,
    is_like_native=True,
    takes_native_files=True,
)
