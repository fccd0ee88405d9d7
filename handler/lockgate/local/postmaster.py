r"""Starts and stops one server process, and makes sure that it never outlives this process.

::

    this process --- starts, stops -----------> postmaster
               \---- pipe ----> watcher --------^ stops it when the pipe breaks

The watcher reads a pipe that only this process holds open. If this process is killed, even by
SIGKILL, the pipe breaks. Then the watcher stops the server and removes its folder.
"""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

from lockgate.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lockgate.local.privileges import RunAs

START_SECONDS = 60
STOP_SECONDS = 30
POLL_SECONDS = 0.01
LOG_LINES = 12
# The server writes these into postmaster.pid; pg_ctl reads them the same way.
PID_LINE, STATUS_LINE = 0, 7

# $1 data folder, $2 signal, $3 folder to remove or "". If this process is killed while it starts its
# server, the pid file may appear a moment later; it disappears when the server has stopped.
WATCHER = """
pid_file=$1/postmaster.pid
read -r _
tries=0
until [ -s "$pid_file" ] || [ "$tries" -ge 10 ]; do tries=$((tries + 1)); sleep 0.1; done
pid=$(head -n 1 "$pid_file" 2>/dev/null) && kill -"$2" "$pid"
tries=0
while [ -e "$pid_file" ] && [ "$tries" -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
[ -z "$3" ] || rm -rf -- "$3"
"""


class Postmaster:
    """The server of one data folder, and the watcher that stops it if this process is killed."""

    def __init__(
        self,
        data: Path,
        *,
        log: Path,
        run_as: RunAs,
        environment: dict[str, str],
        stop_signal: signal.Signals,
        remove: Path | None,
    ) -> None:
        self._data = data
        self._log = log
        self._run_as = run_as
        self._environment = environment
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = _start_watcher(data, stop_signal, remove)

    def start(self, command: Sequence[str | Path]) -> None:
        """Start the server and return when it accepts connections.

        Raises:
            DatabaseUnreachable: it ended, or was not ready in time; the message quotes its log.
        """
        self._process = self._run_as.spawn(command, environment=self._environment, output=self._log)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready(self._process.pid):
            ended = self._process.poll()
            if ended is not None:
                raise self._say_failed(f"ended with status {ended}")
            if time.monotonic() > deadline:
                self.halt(signal.SIGQUIT)
                raise self._say_failed(f"was not ready after {START_SECONDS} s")
            time.sleep(POLL_SECONDS)

    def halt(self, stop_signal: signal.Signals) -> None:
        """Stop the server and wait until it has ended; do nothing if it is not running."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(stop_signal)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # It hangs, for example in a shutdown checkpoint. It must not outlive this call.
            self._process.kill()
            self._process.wait()
        self._process = None

    def close(self) -> None:
        """Stop the server and the watcher."""
        self.halt(self._stop_signal)
        self._watcher.kill()
        self._watcher.wait()
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        if len(lines) <= STATUS_LINE or lines[PID_LINE] != str(pid):
            # Half written, or left by a server that was killed.
            return False
        return lines[STATUS_LINE].strip() == "ready"

    def _say_failed(self, how: str) -> DatabaseUnreachable:
        return DatabaseUnreachable(
            f"The embedded PostgreSQL did not start: it {how}. The end of {self._log}:\n"
            f"{quote_tail(self._log)}\nNo database was changed.",
            hint="The last lines of the server's log describe the problem.",
        )


def quote_tail(log: Path) -> str:
    """Return the last lines of a log, indented."""
    lines = log.read_text("utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-LOG_LINES:])


def _start_watcher(
    data: Path, stop_signal: signal.Signals, remove: Path | None
) -> subprocess.Popen[bytes]:
    name = stop_signal.name.removeprefix("SIG")
    folder = "" if remove is None else str(remove)
    return subprocess.Popen(
        ["/bin/sh", "-c", WATCHER, "lockgate-watcher", str(data), name, folder],
        stdin=subprocess.PIPE,
        # With the caller's own output open, a shell pipeline would wait for the watcher.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
