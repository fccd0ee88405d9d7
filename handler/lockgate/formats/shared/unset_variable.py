"""Explains why a variable has no value for a migration."""

from __future__ import annotations

from lockgate.core.variables import WITHHELD_PREFIXES


def is_withheld(name: str) -> bool:
    """Return whether a variable is withheld from migrations, whatever the environment contains."""
    return name.startswith(WITHHELD_PREFIXES)


def describe_unset(name: str, default: str) -> tuple[str, str]:
    """Return what is wrong with a variable, to follow its name, and a hint.

    ``default`` is the variable with a default value, as the format writes it.
    """
    if is_withheld(name):
        prefix = next(one for one in WITHHELD_PREFIXES if name.startswith(one))
        other = f"MIGRATION_{name.lstrip('_')}"
        return (
            f"is withheld from migrations, like every variable whose name begins with {prefix}",
            f"Set the value in the environment as {other}, and use that name in the file.",
        )
    return "is not set", f"Set {name} in the environment, or write {default}."
