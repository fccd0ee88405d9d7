"""Test the embedded server: connections, settings, restarts, persistence and cleanup."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pg8000.native
import pytest
from tests.support.database import Database, open_connection

from lockgate.errors import DatabaseUnreachable, SettingInvalid
from lockgate.local import privileges
from lockgate.local.server import CAN_KEEP_PORT, EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable

HANDLER = Path(__file__).parents[2] / "handler"
GONE_SECONDS = 120


class MakeServer(Protocol):
    """A function that creates servers."""

    def __call__(
        self,
        *,
        data_dir: Path | None = None,
        settings: dict[str, str] | None = None,
        port: int | None = None,
        tls: bool = True,
        durable: bool = False,
    ) -> EmbeddedServer:
        """Return a server of the version under test without starting it."""
        ...


@pytest.fixture
def make_server(postgres_root: Path | None) -> MakeServer:
    """Give a function that creates servers of the version under test."""

    def make(
        *,
        data_dir: Path | None = None,
        settings: dict[str, str] | None = None,
        port: int | None = None,
        tls: bool = True,
        durable: bool = False,
    ) -> EmbeddedServer:
        return EmbeddedServer(
            root=postgres_root,
            data_dir=data_dir,
            settings=settings or {},
            port=port,
            tls=tls,
            durable=durable,
        )

    return make


def ask(server: EmbeddedServer, sql: str) -> object:
    """Return the first value of a query."""
    return Database(server, "postgres").run(sql)[0][0]


def accepts(port: int) -> bool:
    """Return whether a process listens on a local port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def one_free_port() -> int:
    """Return an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(is_true: Callable[[], bool]) -> bool:
    """Poll until a condition is true; return False after the time limit."""
    deadline = time.monotonic() + GONE_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_server_answers_with_the_version_it_names(server: EmbeddedServer) -> None:
    """The running server has the version of the programs that were found."""
    assert server.version == str(ask(server, "SHOW server_version")).split()[0]


def test_server_listens_on_loopback_alone(server: EmbeddedServer) -> None:
    """The server listens on the loopback address only, without a Unix socket."""
    listening = ask(server, "SELECT current_setting('listen_addresses')")
    sockets = ask(server, "SELECT current_setting('unix_socket_directories')")
    assert (listening, sockets) == ("127.0.0.1", "")


@pytest.mark.skipif(not CAN_KEEP_PORT, reason="only Linux lets a port be kept")
def test_port_is_kept_while_the_server_is_down(make_server: MakeServer) -> None:
    """During a restart, no other program can bind the server's port."""
    with make_server() as server:
        server._state.postmaster.halt(signal.SIGINT)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((server.host, server.port))
        server.restart()
        assert ask(server, "SELECT 1") == 1


def test_connection_is_encrypted_and_verified(server: EmbeddedServer) -> None:
    """A client with the CA file gets a verified TLS connection to the address."""
    sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert ask(server, sql) is True


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_certificate_names_this_machine(server: EmbeddedServer, name: str) -> None:
    """The certificate is valid for the host name and for the address."""
    with pg8000.native.Connection(
        server.user,
        host=name,
        port=server.port,
        password=server.password,
        ssl_context=ssl.create_default_context(cafile=str(server.ca_file)),
    ) as connection:
        assert connection.run("SELECT 1") == [[1]]


def test_certificate_of_another_server_is_refused(
    server: EmbeddedServer, make_server: MakeServer
) -> None:
    """A client with the CA file of one server rejects another server."""
    with (
        make_server() as other,
        socket.create_connection((other.host, other.port)) as plain,
    ):
        # Send SSLRequest and start TLS by hand, because pg8000 would leave its socket open.
        plain.sendall(bytes.fromhex("0000000804d2162f"))
        assert plain.recv(1) == b"S"
        trust = ssl.create_default_context(cafile=str(server.ca_file))
        with pytest.raises(ssl.SSLCertVerificationError):
            trust.wrap_socket(plain, server_hostname=other.host)


def test_password_is_needed_and_kept_as_scram(server: EmbeddedServer) -> None:
    """A wrong password is refused, and the right one is stored as SCRAM-SHA-256."""
    with pytest.raises(pg8000.native.DatabaseError) as refusal:
        open_connection(server, "postgres", password="wrong")
    stored = str(ask(server, "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'"))
    assert (refusal.value.args[0]["C"], stored.split("$", maxsplit=1)[0]) == (
        "28P01",
        "SCRAM-SHA-256",
    )


def test_server_without_tls_offers_none(make_server: MakeServer) -> None:
    """Without TLS, the server declines it and the URL disables it."""
    with make_server(tls=False) as server:
        with socket.create_connection((server.host, server.port)) as plain:
            plain.sendall(bytes.fromhex("0000000804d2162f"))
            assert plain.recv(1) == b"N"
        assert server.ca_file is None
        assert server.url("app").endswith(f"@127.0.0.1:{server.port}/app?sslmode=disable")


def test_url_quotes_the_database_name(server: EmbeddedServer) -> None:
    """Special characters in a database name are escaped in the URL."""
    expected = (
        f"postgresql://postgres:{server.password}@127.0.0.1:{server.port}/a%2Fb%20c"
        "?sslmode=verify-full"
    )
    assert server.url("a/b c") == expected


def test_lockgate_environment_names_address_and_authority(server: EmbeddedServer) -> None:
    """The environment consists of the URL and the CA file."""
    expected = {
        "LOCKGATE_DATABASE_URL": server.url("app"),
        "LOCKGATE_CA_FILE": str(server.ca_file),
    }
    assert server.lockgate_environment("app") == expected


def test_psql_connects_with_the_client_environment(server: EmbeddedServer) -> None:
    """The environment is sufficient for libpq programs to connect and verify the server."""
    assert server.psql is not None
    answer = subprocess.run(
        [server.psql, "-XAtc", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"],
        env=server.client_environment("postgres"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.stdout, answer.stderr) == ("t\n", "")


def test_two_servers_run_side_by_side(make_server: MakeServer) -> None:
    """Two servers have different ports and passwords."""
    with make_server() as one, make_server() as other:
        assert len({one.port, other.port}) == 2
        assert len({one.password, other.password}) == 2
        assert (ask(one, "SELECT 1"), ask(other, "SELECT 2")) == (1, 2)


def test_stop_leaves_nothing(make_server: MakeServer) -> None:
    """After a stop the port is closed and the folder removed; stopping again is harmless."""
    server = make_server().start()
    port, home = server.port, server.log.parent
    server.stop()
    server.stop()
    assert (accepts(port), home.exists()) == (False, False)


def test_server_that_was_never_started_raises_an_error(make_server: MakeServer) -> None:
    """Reading the port before the start raises a readable error."""
    with pytest.raises(DatabaseUnreachable, match="is not running"):
        _ = make_server().port


def test_settings_reach_the_server(make_server: MakeServer) -> None:
    """The caller's settings override the defaults."""
    with make_server(settings={"max_connections": "17", "fsync": "on"}) as server:
        assert ask(server, "SHOW max_connections") == "17"
        assert ask(server, "SHOW fsync") == "on"


def test_durable_server_keeps_the_defaults_of_postgresql(make_server: MakeServer) -> None:
    """A durable server flushes commits to disk and has PostgreSQL's default buffers."""
    with make_server(durable=True) as server:
        shown = [ask(server, f"SHOW {name}") for name in ("fsync", "full_page_writes")]
        assert [*shown, ask(server, "SHOW shared_buffers")] == ["on", "on", "128MB"]


def test_fixed_port_is_used_and_refused_when_taken(make_server: MakeServer) -> None:
    """A given port is used, or refused if it is in use."""
    with make_server() as one, pytest.raises(DatabaseUnreachable, match="running on port"):
        make_server(port=one.port).start()
    free = one_free_port()
    with make_server(port=free) as other:
        assert free == other.port


def test_server_that_cannot_start_quotes_its_log(make_server: MakeServer) -> None:
    """If the server ends at once, the error quotes its log."""
    with pytest.raises(DatabaseUnreachable) as failure:
        make_server(settings={"shared_buffers": "plenty"}).start()
    message = failure.value.message
    assert message.startswith("The embedded PostgreSQL did not start: it ended with status 1.")
    assert 'invalid value for parameter "shared_buffers": "plenty"' in message
    assert message.endswith("No database was changed.")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_keeps_port_and_data(make_server: MakeServer, mode: str) -> None:
    """A restart, orderly or as after a crash, keeps committed data and the port."""
    with make_server() as server:
        Database(server, "postgres").run("CREATE TABLE kept AS SELECT 1 AS n")
        port = server.port
        server.restart("fast" if mode == "fast" else "immediate")
        assert (port, 1) == (server.port, ask(server, "SELECT n FROM kept"))


def test_persistent_server_keeps_data_password_and_authority(
    make_server: MakeServer, tmp_path: Path
) -> None:
    """A restarted server with a data folder keeps its data, password and CA."""
    home = tmp_path / "project" / "postgres"
    with make_server(data_dir=home) as server:
        Database(server, "postgres").run("CREATE TABLE kept AS SELECT 1 AS n")
        before = (server.password, (home / "ca.pem").read_bytes())
    with make_server(data_dir=home) as server:
        assert before == (server.password, (home / "ca.pem").read_bytes())
        assert (ask(server, "SELECT n FROM kept"), ask(server, "SHOW fsync")) == (1, "on")


def test_persistent_folder_is_private_and_never_committed(
    make_server: MakeServer, tmp_path: Path
) -> None:
    """Only the owner can read the folder with its password and key, and git ignores it."""
    home = tmp_path / "postgres"
    with make_server(data_dir=home):
        pass
    modes = [stat.S_IMODE((home / name).stat().st_mode) for name in ("password", "server.key")]
    assert [*modes, stat.S_IMODE(home.stat().st_mode)] == [0o600, 0o600, 0o700]
    assert (home / ".gitignore").read_text("utf-8") == "*\n"


def test_second_server_on_the_same_data_is_refused(make_server: MakeServer, tmp_path: Path) -> None:
    """A second server on the same data folder is refused, and the first one keeps running."""
    with make_server(data_dir=tmp_path / "pg") as first:
        with pytest.raises(DatabaseUnreachable, match=r"postmaster\.pid"):
            make_server(data_dir=tmp_path / "pg").start()
        assert ask(first, "SELECT 1") == 1


def test_data_of_another_major_version_are_refused(make_server: MakeServer, tmp_path: Path) -> None:
    """Data of another major version are refused and left unchanged, and the error says why."""
    home = tmp_path / "pg"
    (home / "data").mkdir(parents=True)
    (home / "data" / "PG_VERSION").write_text("9.6\n", "utf-8")
    server = make_server(data_dir=home)
    with pytest.raises(SettingInvalid) as refusal:
        server.start()
    expected = (
        f"The data in {home} were created by PostgreSQL 9.6; the programs in "
        f"{server.binaries.folder} are version {server.version}. "
        "Remove the folder to start with an empty database, or use PostgreSQL 9.6."
    )
    assert expected == refusal.value.message
    assert [path.name for path in home.iterdir()] == ["data"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change the user")
@pytest.mark.parametrize("namespace", [True, False], ids=["namespace", "user"])
def test_server_started_by_root_runs_as_another_user(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, *, namespace: bool
) -> None:
    """As root, the server runs in a user namespace, or as another user if those are forbidden."""
    if namespace and privileges.choose_run_as().user is not None:
        pytest.skip("user namespaces are forbidden on this machine")
    if not namespace:
        monkeypatch.setattr(privileges, "may_unshare", lambda: False)
        run_as = privileges.choose_run_as()
        folder = make_server().binaries.folder
        reach = subprocess.run([folder / "postgres", "-V"], user=run_as.user, check=False)
        if reach.returncode != 0:
            pytest.skip(f"the user {run_as.user} cannot reach {folder}")
    with make_server() as server:
        assert ask(server, "SELECT 1") == 1
        home = server.log.parent
    assert not home.exists()


CHILD = """
import os, sys, time
from pathlib import Path
from lockgate.local.server import CAN_KEEP_PORT, EmbeddedServer
root = Path(sys.argv[1]) if sys.argv[1] else None
server = EmbeddedServer(root=root).start()
print(server.port, server.log.parent, flush=True)
"""


def start_child(root: Path | None, script: str) -> tuple[subprocess.Popen[str], int, Path]:
    """Start a process that starts a server; return the process, the port and the folder."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD + script, str(root or "")],
        env=os.environ | {"PYTHONPATH": str(HANDLER)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    port, home = child.stdout.readline().split()
    return child, int(port), Path(home)


def end_child(child: subprocess.Popen[str]) -> None:
    """Wait for a child process and close its pipe."""
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


@pytest.mark.parametrize("killed_by", [signal.SIGKILL, signal.SIGTERM])
def test_killed_process_leaves_no_server(
    postgres_root: Path | None, killed_by: signal.Signals
) -> None:
    """If its process is killed, the server stops and its folder is removed."""
    child, port, home = start_child(postgres_root, "time.sleep(600)")
    assert accepts(port)
    child.send_signal(killed_by)
    end_child(child)
    assert wait_until(lambda: not accepts(port) and not home.exists())


def test_process_that_just_ends_leaves_no_server(postgres_root: Path | None) -> None:
    """A server that a script does not stop is stopped when the script exits."""
    child, port, home = start_child(postgres_root, "")
    end_child(child)
    assert (accepts(port), home.exists()) == (False, False)


def test_forked_child_does_not_stop_the_server(postgres_root: Path | None) -> None:
    """A forked child that exits, and so runs the exit hooks, leaves the server running."""
    script = (
        "import socket\n"
        "pid = os.fork()\n"
        "if pid == 0: sys.exit()\n"
        "os.waitpid(pid, 0)\n"
        "with socket.socket() as probe: print(probe.connect_ex((server.host, server.port)))\n"
    )
    child, _, _ = start_child(postgres_root, script)
    assert child.stdout is not None
    answer = child.stdout.read()
    end_child(child)
    assert answer == "0\n"
