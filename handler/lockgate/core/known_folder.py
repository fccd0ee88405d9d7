"""What a large folder came to is kept beside the lock: the same bytes need not be listed again.

A listing without variables follows from the files' paths and bytes, from Python and from the release
that reads them. So nothing is overlooked: one byte more, and the folder is listed. Knows digests; reads
no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.listing import digest_lines

if TYPE_CHECKING:
    from lockgate.core.listing import Folder, Listing
    from lockgate.core.probe import Probe


def describe_folder(folder: Folder, listing: Listing) -> str | None:
    """Return what is to be kept: the folder's digest, its lines', and its last version.

    ``None``: nothing is.
    """
    if folder.digest is None or not listing.follows_from_files:
        return None
    last = listing.version(listing.versioned - 1) if listing.versioned else ""
    return f"{folder.digest} {digest_lines(listing.lines)} {last}"


def recall_version(folder: Folder, probe: Probe) -> str | None:
    """Return the last version of a folder that is known, and is in the history, whole and unedited.

    It is empty where the folder has none; ``None``: it takes a listing to tell.
    """
    if probe.unfinished or probe.known_folder is None:
        return None
    beginning = f"{folder.digest} {probe.digest} "
    if not probe.known_folder.startswith(beginning):
        return None
    return probe.known_folder.removeprefix(beginning)
