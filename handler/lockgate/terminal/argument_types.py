"""Reads the values of options; argparse shows what is wrong with one."""

from __future__ import annotations

from argparse import ArgumentTypeError

from lockgate.core.policy import FirstRun


def read_count(text: str) -> int:
    """Return a number of 1 or more."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def read_first_run(text: str) -> FirstRun:
    """Return the choice for a first run."""
    if text not in list(FirstRun):
        raise ArgumentTypeError(f"{text} is not one of {', '.join(FirstRun)}")
    return FirstRun(text)


def read_reason(text: str) -> str:
    """Return a text that is not empty."""
    if not text.strip():
        raise ArgumentTypeError("it is empty")
    return text
