"""The layout of `--help`."""

from __future__ import annotations

import argparse
import sys

from lockgate.settings import read_environment
from lockgate.terminal.screen import read_width

# Columns of the help if the output is not a terminal.
_WIDTH = 80
_MOST_DIGITS = 6


class Help(argparse.HelpFormatter):
    """Help as wide as the terminal, measured without the module that argparse imports for that."""

    def __init__(self, prog: str) -> None:
        given = read_environment().get("COLUMNS", "")
        columns = (
            int(given)
            if given.isdecimal() and len(given) < _MOST_DIGITS and int(given)
            else read_width(sys.stdout)
        )
        super().__init__(prog, width=(columns or _WIDTH) - 2)


class VerbatimHelp(Help, argparse.RawDescriptionHelpFormatter):
    """Help whose examples keep their line breaks."""
