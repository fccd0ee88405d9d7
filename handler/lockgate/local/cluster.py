"""Prepares the folder of a server: its data, password, certificates and log.

::

    <home>/data/         the data folder, made by initdb
    <home>/password      the superuser's password
    <home>/ca.pem        the authority with which clients verify the server
    <home>/server.*      certificate, key, log
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.errors import SettingInvalid
from lockgate.fast_start.dataclass import dataclass
from lockgate.local.postmaster import quote_tail

if TYPE_CHECKING:
    from lockgate.local.binaries import Binaries
    from lockgate.local.privileges import RunAs

SUPERUSER = "postgres"
INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The files of one server; they exist as long as its folder."""

    home: Path

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.home / "data"

    @property
    def password_file(self) -> Path:
        """The superuser's password."""
        return self.home / "password"

    @property
    def ca_file(self) -> Path:
        """The certificate authority that clients trust."""
        return self.home / "ca.pem"

    @property
    def certificate_file(self) -> Path:
        """The server's certificate."""
        return self.home / "server.pem"

    @property
    def key_file(self) -> Path:
        """The server's key."""
        return self.home / "server.key"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "server.log"

    @property
    def password(self) -> str:
        """The superuser's password."""
        return self.password_file.read_text("utf-8")


def prepare_cluster(home: Path, binaries: Binaries, run_as: RunAs, *, tls: bool) -> Cluster:
    """Create the files that are missing in the folder; leave the others unchanged.

    Raises:
        SettingInvalid: the data belong to another major version, ``initdb`` failed, or the package
            that makes certificates is not installed.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    cluster = Cluster(home.resolve())
    if cluster.data.exists():
        _refuse_other_major(cluster, binaries)
    else:
        _write_secret(cluster.password_file, secrets.token_urlsafe(24))
        # A folder that holds a password and a key must never be committed.
        (cluster.home / ".gitignore").write_text("*\n", "utf-8")
        run_as.hand_over(cluster.home)
        _make_data(cluster, binaries, run_as)
    if tls and not cluster.key_file.exists():
        _make_certificates(cluster)
    run_as.hand_over(cluster.home)
    return cluster


def _refuse_other_major(cluster: Cluster, binaries: Binaries) -> None:
    made_by = (cluster.data / "PG_VERSION").read_text("utf-8").strip()
    if made_by != str(binaries.major):
        raise SettingInvalid(
            f"The data in {cluster.home} were created by PostgreSQL {made_by}; the programs in "
            f"{binaries.folder} are version {binaries.version}. Remove "
            f"the folder to start with an empty database, or use PostgreSQL {made_by}.",
            hint=f"rm -r {cluster.home}",
        )


def _make_data(cluster: Cluster, binaries: Binaries, run_as: RunAs) -> None:
    """Run initdb in a temporary folder, then rename it, so that the data folder is never partial."""
    scratch = Path(tempfile.mkdtemp(dir=cluster.home, prefix="initdb-"))
    run_as.hand_over(scratch)
    try:
        initdb = run_as.spawn(
            [
                binaries.folder / "initdb",
                *INITDB_OPTIONS,
                f"--pwfile={cluster.password_file}",
                f"--pgdata={scratch}",
            ],
            environment=binaries.environment,
            output=cluster.log,
        )
        if initdb.wait() != 0:
            raise SettingInvalid(
                f"initdb failed in {cluster.home}:\n{quote_tail(cluster.log)}\n"
                "Fix the problem that its last lines describe.",
                hint="The last lines of its output describe the problem.",
            )
        scratch.rename(cluster.data)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _make_certificates(cluster: Cluster) -> None:
    try:
        # Late: it costs 70 ms, and a folder that has its certificates needs none of it.
        from lockgate.local import certificates
    except ImportError as error:
        raise SettingInvalid(
            "Certificates for the embedded server cannot be created: the package cryptography is "
            "not installed. Install it: pip install 'lockgate[local]'.",
            hint="pip install 'lockgate[local]'",
        ) from error
    certificates.write_certificates(
        certificates.make_certificates(now=datetime.now(UTC)),
        ca_file=cluster.ca_file,
        certificate_file=cluster.certificate_file,
        key_file=cluster.key_file,
    )


def _write_secret(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text, "utf-8")
