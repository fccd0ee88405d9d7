"""Standard output and error that may be lost: a full disk, a reader who left, a stream that is closed.

What a run does, and how it ends, must not depend on whether its words can be written.
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
    """A file descriptor to which a write never fails; what cannot be written is dropped."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            written = super().write(data)
            while written is None:
                # Another process made the pipe that it shares with this one non-blocking.
                select.select((), (self,), ())
                written = super().write(data)
        except OSError:
            return memoryview(data).nbytes
        return written


def open_output() -> None:
    """Give the process a standard output and error that every write succeeds on.

    A descriptor that is closed leads to the null device, so that no file or connection that is opened
    later takes its number. A character that the encoding lacks becomes "?".
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
    # A test, or a program that calls `main`, may have put a stream of its own there.
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
        # An unbuffered stream (PYTHONUNBUFFERED) stays one.
        file if stream.buffer is raw else io.BufferedWriter(file),
        stream.encoding,
        "replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
