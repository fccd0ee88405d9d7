"""Runs PostgreSQL, which refuses to run as root, even if this process is root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from typing import TYPE_CHECKING

from lockgate.errors import SettingInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Inside this user namespace root is an ordinary user: no new account, no change of ownership.
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
SYSTEM_USERS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class RunAs:
    """The user that runs the server: this process's, root in a namespace, or another one."""

    prefix: tuple[str, ...] = ()
    user: str | None = None

    def spawn(
        self, command: Sequence[str | Path], *, environment: dict[str, str], output: Path
    ) -> subprocess.Popen[bytes]:
        """Start a program whose output is appended to a file.

        It gets its own session, so that Ctrl-C in the terminal only reaches this process, which
        then stops the server properly.
        """
        with output.open("ab") as log:
            return subprocess.Popen(
                [*self.prefix, *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                user=self.user,
                group=None if self.user is None else pwd.getpwnam(self.user).pw_gid,
                extra_groups=None if self.user is None else (),
            )

    def hand_over(self, folder: Path) -> None:
        """Make the server's user the owner of a folder and of everything in it."""
        if self.user is not None:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, self.user)


def choose_run_as() -> RunAs:
    """Return a user other than root to run the server.

    Raises:
        SettingInvalid: this is root, namespaces are forbidden, and no suitable user exists.
    """
    if os.geteuid() != 0:
        return RunAs()
    if may_unshare():
        return RunAs(prefix=NAMESPACE)
    known = {entry.pw_name for entry in pwd.getpwall()}
    for user in SYSTEM_USERS:
        if user in known:
            return RunAs(user=user)
    raise SettingInvalid(
        "PostgreSQL does not run as root, user namespaces are forbidden here, and neither of the "
        f"users {' and '.join(SYSTEM_USERS)} exists. Run this "
        "command as an ordinary user.",
        hint="Run this command as an ordinary user.",
    )


def may_unshare() -> bool:
    """Return whether this machine lets root enter a user namespace."""
    if shutil.which(NAMESPACE[0]) is None:
        return False
    attempt = subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False)
    return attempt.returncode == 0
