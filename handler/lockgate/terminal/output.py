"""Makes every write to standard output and error succeed, even on a full disk or a closed stream.

A run and its exit status must not depend on whether its output can be written.
"""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STANDARD = (0, 1, 2)


class _LossyFile(io.FileIO):
    """A file descriptor on which a write never fails; what cannot be written is dropped."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            written = super().write(data)
            while written is None:
                # Another process has made the shared pipe non-blocking.
                select.select((), (self,), ())
                written = super().write(data)
        except OSError:
            return memoryview(data).nbytes
        return written


def open_output() -> None:
    """Replace standard output and error by streams on which every write succeeds.

    A closed descriptor is opened on the null device, so that no file or connection that is opened later
    gets its number. A character that the encoding lacks becomes "?".
    """
    _fill_descriptors()
    sys.stdout = _make_lossy(sys.stdout, 1)
    sys.stderr = _make_lossy(sys.stderr, 2)


def _fill_descriptors() -> None:
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)


def _make_lossy(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        return io.TextIOWrapper(
            io.BufferedWriter(_LossyFile(number, "w", closefd=False)), "utf-8", "replace"
        )
    # A test, or a program that calls `main`, may have replaced the stream.
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if type(raw) is not io.FileIO:
        with suppress(ValueError):
            stream.reconfigure(errors="replace")
        return stream
    stream.flush()
    file = _LossyFile(raw.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        # An unbuffered stream (PYTHONUNBUFFERED) stays unbuffered.
        file if stream.buffer is raw else io.BufferedWriter(file),
        stream.encoding,
        "replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
