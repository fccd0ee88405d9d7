"""The person who runs a command."""

from __future__ import annotations

import getpass


def find_user() -> str | None:
    """Return the operating system's name for the user, or ``None`` if it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container may run as a user id without a name.
        return None
