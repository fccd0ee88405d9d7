"""Run one program and print its duration and its peak memory.

It is a small process of its own (``python -I -S spawn.py REQUEST``): inherited memory counts as a
process's peak, so the parent must be smaller than every measured program.
"""

import json
import os
import sys
import time


def run(request: dict) -> dict:  # type: ignore[type-arg]
    """Run ``argv`` in ``cwd`` with only ``environment``, and its output in the file ``output``."""
    os.chdir(request["cwd"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, request["output"], flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    argv = request["argv"]
    started = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, request["environment"], file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    return {
        "ms": round(seconds * 1000, 2),
        "cpu_ms": round((usage.ru_utime + usage.ru_stime) * 1000, 2),
        # In kilobytes on Linux, for the program and all processes that it waited for.
        "mb": round(usage.ru_maxrss / 1024, 1),
        "status": os.waitstatus_to_exitcode(status),
    }


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))  # noqa: T201 - the result for the parent process
