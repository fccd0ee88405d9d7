"""What a large folder's listing came to, kept beside the lock: the same bytes need no listing again.

Without variables, a listing follows from the files' paths and bytes and the package that reads them, so
nothing can be overlooked: one byte more, and the folder is listed. Knows digests; reads no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.listing import digest_lines
from lockgate.core.migration import Version
from lockgate.value import dataclass

if TYPE_CHECKING:
    from lockgate.core.listing import Folder, Listing
    from lockgate.core.probe import Probe


@dataclass(frozen=True, slots=True)
class Memo:
    """Of the folder with this digest, the digest of its listing's lines, and its last version."""

    folder: str
    lines: str
    version: Version | None

    @property
    def text(self) -> str:
        """What is kept; `parse_memo` reads it."""
        return f"{self.folder} {self.lines} {self.version or ''}"


def parse_memo(text: str) -> Memo | None:
    """Return the memo that a text holds, ``None`` for any other text."""
    folder, _, rest = text.partition(" ")
    lines, gap, version = rest.partition(" ")
    if not gap or (version and not version.isdecimal()):
        return None
    return Memo(folder, lines, Version.parse(version) if version else None)


def make_memo(folder: Folder, listing: Listing) -> Memo | None:
    """Return what is to be kept of a folder's listing, ``None`` where nothing is."""
    if folder.digest is None or listing.has_variables:
        return None
    last = listing.version(listing.versioned - 1) if listing.versioned else None
    return Memo(folder.digest, digest_lines(listing.lines), last)


def recall(folder: Folder, probe: Probe) -> Memo | None:
    """Return the memo that was kept, if it says that the history is all of this folder, and unedited."""
    memo = None if probe.memo is None else parse_memo(probe.memo)
    if memo is None or memo.folder != folder.digest or memo.lines != probe.digest:
        return None
    return None if probe.unfinished or probe.count == 0 else memo
