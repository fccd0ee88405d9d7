"""`validate`: refuse what an `up` would refuse, and warn of what was applied already."""

from __future__ import annotations

from lockgate.engine.commands.plan import decide

__all__ = ["decide"]
