"""Normalizes a project's URI as Sqitch's digest does (RFC 3986, section 6.2.2, in part)."""

from __future__ import annotations

import re
from urllib.parse import quote

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.+-]*):")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_AUTHORITY = re.compile(r"([a-z][a-z0-9.+-]*)://([^/?#]*)(.*)", re.DOTALL)
_UNRESERVED = re.compile(r"[A-Za-z0-9\-_.!~*'()]")
_ALLOWED = "-_.!~*'();/?:@&=+$,[]#%"
_URN = re.compile(r"\Aurn:[^:]+:")
_PORTS = {"http": "80", "https": "443", "ftp": "21", "sftp": "22", "ssh": "22"}
_WITH_PATH = ("http", "https")


def canonical_uri(uri: str) -> str:
    """Return a URI with scheme and host in lower case and without needless escapes."""
    text = quote(uri.strip(), safe=_ALLOWED)
    text = _SCHEME.sub(lambda m: f"{m[1].lower()}:", text, count=1)
    text = _ESCAPE.sub(_unescape, text)
    text = _URN.sub(lambda m: m[0].lower(), text)
    found = _AUTHORITY.fullmatch(text)
    if found is None or found[1] not in _PORTS:
        return text
    scheme, authority, rest = found.groups()
    user, at, host = authority.rpartition("@")
    host = host.lower().removesuffix(":").removesuffix(f":{_PORTS[scheme]}")
    if scheme in _WITH_PATH and (not rest or rest.startswith("#")):
        rest = f"/{rest}"
    return f"{scheme}://{user}{at}{host}{rest}"


def _unescape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if _UNRESERVED.fullmatch(character) else f"%{match[1].upper()}"
