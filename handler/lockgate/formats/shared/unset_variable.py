"""What is said of a variable that has no value for a migration. Knows no format."""

from __future__ import annotations

from lockgate.core.variables import WITHHELD_PREFIXES


def describe_unset(name: str, default: str) -> tuple[str, str]:
    """Return what is wrong with a variable, behind its name, and what to do.

    ``default`` is the variable as the format writes it with a default.
    """
    if name.startswith(WITHHELD_PREFIXES):
        prefix = next(one for one in WITHHELD_PREFIXES if name.startswith(one))
        other = f"MIGRATION_{name.lstrip('_')}"
        return (
            f"is withheld from migrations, as every one is whose name begins with {prefix}",
            f"Set its value in the environment as {other}, and write that name in the file.",
        )
    return "is not set", f"Set {name} in the environment, or write {default}."
