"""CloudFormation's side of `AWS::Lambda::Version`: published once for each changed package.

A stack names a version after its code. Lambda does not publish the same code and configuration again:
CloudFormation gets 409. `deploy` updates a stack with a function, its version, and the custom resource
that refers to the version::

    publish ── Update ─┬─ SUCCESS ── the older version is cleaned up, by its DeletionPolicy
                       └─ FAILED ─── the new one is rolled back, by its DeletionPolicy

Contains nothing specific to Lockgate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.cloudformation import StackStatus

if TYPE_CHECKING:
    from tests.support.cloudformation import Handler, Stack


@dataclass(slots=True)
class VersionedStack:
    """A stack whose function has a version. ``published`` are the packages that Lambda keeps."""

    stack: Stack
    deletion_policy: str
    published: list[str] = field(default_factory=list)
    current: str | None = None
    reasons: list[str] = field(default_factory=list)

    def create(self, package: str, handler: Handler) -> StackStatus:
        """Create the stack with its first package."""
        self.stack.handler = handler
        self.published.append(package)
        self.current = package
        return self.stack.create({"CodeVersion": package})

    def deploy(self, package: str, handler: Handler) -> StackStatus:
        """Update the stack to a package; return the stack's status."""
        if package == self.current:
            return self.stack.update({"CodeVersion": package}, handler=handler)
        if package in self.published:
            self.reasons.append("Version already exists (409)")
            self.stack.status = StackStatus.UPDATE_ROLLBACK_COMPLETE
            return self.stack.status
        self.published.append(package)
        status = self.stack.update({"CodeVersion": package}, handler=handler)
        gone = package
        if status is StackStatus.UPDATE_COMPLETE:
            gone, self.current = self.current or "", package
        if self.deletion_policy == "Delete":
            self.published.remove(gone)
        return status
