#!/usr/bin/env python3
"""Write Amazon's root certificates for RDS into a folder in which OpenSSL finds them by subject.

A connection then reads only the root that it needs; reading all of them takes 17 ms of every start. To
use a newer bundle, in the repository's root::

    curl -O https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem
    .venv/bin/python infra/split_rds_bundle.py global-bundle.pem

Needs asn1crypto, a dependency of the driver.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections import Counter
from pathlib import Path

from asn1crypto import core, pem, x509

FOLDER = Path(__file__).parents[1] / "handler" / "lockgate" / "postgres" / "server" / "rds-roots"


def split_bundle(bundle: bytes, folder: Path) -> None:
    """Write each certificate of a PEM file into ``folder``, which is emptied first."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    seen: Counter[str] = Counter()
    for _, _, content in pem.unarmor(bundle, multiple=True):
        name = name_subject(content)
        (folder / f"{name}.{seen[name]}").write_bytes(pem.armor("CERTIFICATE", content))
        seen[name] += 1


def name_subject(certificate: bytes) -> str:
    """Return the file name by which OpenSSL finds a certificate: a digest of its subject.

    Like OpenSSL's ``X509_NAME_hash``: texts in UTF-8 and lower case, without surrounding spaces and with
    single spaces between words; one set after the other.
    """
    subject = x509.Certificate.load(certificate).subject
    sets = b"".join(_write_canonical(part) for part in subject.chosen)
    number = int.from_bytes(hashlib.sha1(sets, usedforsecurity=False).digest()[:4], "little")
    return f"{number:08x}"


def _write_canonical(part: x509.RelativeDistinguishedName) -> bytes:
    written = []
    for attribute in part:
        text = " ".join(attribute["value"].native.lower().split())
        pair = attribute["type"].dump() + core.UTF8String(text).dump()
        written.append(core.Sequence(contents=pair).dump())
    return bytes(core.Set(contents=b"".join(sorted(written))).dump())


def main(arguments: list[str]) -> int:
    """Split the bundle that the command line names."""
    split_bundle(Path(arguments[0]).read_bytes(), FOLDER)
    sys.stdout.write(f"{len(list(FOLDER.iterdir()))} certificates in {FOLDER}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
