"""Show lines with styles on a terminal and as plain text elsewhere."""

from __future__ import annotations

import io
import os
import pty
import struct
import termios
from contextlib import contextmanager, suppress
from fcntl import ioctl
from typing import TYPE_CHECKING

import pytest
from tests.support.run_events import make_done, make_sending

from lockgate.core.events import Applied
from lockgate.core.transaction_mode import Mode
from lockgate.terminal import screen as screen_module
from lockgate.terminal.line import Span, Style
from lockgate.terminal.progress import Progress
from lockgate.terminal.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

LINE = (Span("✓ ", Style.GOOD), Span("done [red]"))
XTERM = {"TERM": "xterm-256color"}


@contextmanager
def terminal(columns: int = 80) -> Iterator[tuple[TextIO, int]]:
    """Give a terminal to write to, and the file descriptor to read its output from."""
    reader, writer = pty.openpty()
    ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        yield stream, reader
    os.close(reader)


def read(reader: int) -> str:
    """Return everything that was sent to a terminal."""
    os.set_blocking(reader, False)
    shown = b""
    with suppress(BlockingIOError):
        while True:
            shown += os.read(reader, 65_536)
    return shown.decode().replace("\r\n", "\n")


def show(environment: Mapping[str, str], *, plain: bool = False) -> str:
    """Return what a terminal shows for a line."""
    with terminal() as (stream, reader):
        Screen(stream, environment, plain=plain).show([LINE])
        return read(reader)


def test_terminal_gets_colours() -> None:
    """Text is styled, and markup in it has no effect."""
    assert show(XTERM) == "\x1b[32m✓ \x1b[0mdone [red]\n"


@pytest.mark.parametrize(
    ("environment", "plain"),
    [
        ({**XTERM, "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        (XTERM, True),
    ],
)
def test_plain_text_is_used_where_it_is_asked_for(
    environment: dict[str, str], *, plain: bool
) -> None:
    """With NO_COLOR, a dumb terminal or --no-color there are no escape sequences."""
    assert show(environment, plain=plain) == "✓ done [red]\n"


def test_terminal_without_rich_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Rich, an optional dependency, the text is plain."""
    monkeypatch.setattr(screen_module, "_has_rich", lambda: False)

    assert show(XTERM) == "✓ done [red]\n"


def test_pipe_gets_plain_text_of_any_width() -> None:
    """A stream that is not a terminal has no width."""
    stream = io.StringIO()
    screen = Screen(stream, XTERM)

    screen.show([(Span("x" * 500, Style.BAD),)])

    assert (None, "x" * 500 + "\n") == (screen.width, stream.getvalue())


def test_stream_of_ascii_gets_ascii() -> None:
    """Characters that the encoding lacks are replaced."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")

    Screen(stream, {}).show([(Span("✗ 1 → 2 … é"),)])

    assert raw.getvalue() == b"x 1 > 2 ... ?\n"


def test_width_is_the_terminal_s() -> None:
    """The width is the terminal's, but at least 40 columns."""
    for columns, expected in [(100, 100), (10, 40)]:
        with terminal(columns) as (stream, _):
            assert Screen(stream, XTERM).width == expected


def test_progress_keeps_a_live_line_on_a_terminal() -> None:
    """The live line shows the current activity, and completed work stays above it."""
    with terminal() as (stream, reader):
        with Progress(Screen(stream, XTERM)) as progress:
            progress.note(make_sending(Mode.STATEMENTS, 1))
            progress.note(Applied(make_done("7", 12)))
            progress.note(Applied(make_done("8", 12)))
            progress.announce_stop("Ctrl-C")
        shown = read(reader)

    assert "Connecting" in shown
    assert "Applying 1 migration, outside a transaction" in shown
    assert "Ctrl-C: cancelling and rolling back" in shown
    assert "7\x1b[2m  12 ms" in shown
    # At the end the live line is removed and the cursor is visible.
    assert shown.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")
