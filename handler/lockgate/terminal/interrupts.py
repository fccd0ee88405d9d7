"""Turns Ctrl-C and SIGTERM into a request to stop the run."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


@contextmanager
def caught_signals(stop: Callable[[str], None]) -> Iterator[None]:
    """Call ``stop`` with the name of the first signal; a second signal ends the command at once.

    Raises:
        KeyboardInterrupt: at the second signal, wherever the main thread is.
    """
    has_asked = False

    def catch(number: int, _frame: FrameType | None) -> None:
        nonlocal has_asked
        if has_asked:
            raise KeyboardInterrupt
        has_asked = True
        stop(_NAMES[signal.Signals(number)])

    former = {number: signal.signal(number, catch) for number in _NAMES}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
