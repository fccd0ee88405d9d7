"""Connections that cannot be opened: the error message, and that nothing changed."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from tests.support.waiting import LONGEST_SECONDS, Background

from lockgate.core.deadline import Deadline
from lockgate.core.endpoint import Access, Credentials, Endpoint
from lockgate.core.policy import Tls
from lockgate.core.request import Action
from lockgate.errors import CredentialsRejected, DatabaseUnreachable
from lockgate.postgres.server.connector import Connector, ConnectRetry
from lockgate.postgres.server.resolve import resolve
from lockgate.postgres.server.tls import make_tls_context
from lockgate.report.log import log_to
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from tests.support.database import Database
    from tests.support.project import Project


@pytest.fixture
def ready(project: Project) -> Project:
    """Return a project with one pending migration."""
    project.write({"1_a.sql": "CREATE TABLE a ();"})
    return project


def error_of(report: Report) -> tuple[str, str]:
    """Return the error's public class name and message."""
    assert report.error is not None
    return report.error.type, report.error.message


def url(project: Project, *, user: str = "postgres", password: str = "x", **parts: object) -> str:
    """Return a database URL with some parts replaced."""
    database = project.database
    host, port = parts.get("host", database.host), parts.get("port", database.port)
    return f"postgresql://{user}:{password}@{host}:{port}/{parts.get('name', database.name)}"


def test_wrong_password(ready: Project) -> None:
    """The error for a rejected password names its source and never its value."""
    ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, password="hunter2-wrong")
    report = ready.run()
    kind, message = error_of(report)
    assert "CredentialsRejected" == kind
    assert (
        f"127.0.0.1:{ready.database.port} rejected the credentials of postgres. Tried:"
        " LOCKGATE_DATABASE_URL. Nothing was changed."
    ) == message
    assert "hunter2" not in report.to_text()


def test_rule_of_the_server_is_in_the_error(ready: Project) -> None:
    """If the server rejects the role rather than the password, its reason is passed on."""
    name = f"nologin_{ready.database.name}"
    ready.database.run(f"CREATE ROLE {name} PASSWORD 'x'")
    try:
        ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, user=name)
        kind, message = error_of(ready.run())
    finally:
        ready.database.run(f"DROP ROLE {name}")
    assert "CredentialsRejected" == kind
    said = f'It said: role "{name}" is not permitted to log in (28000). Tried: '
    assert said in message


def test_unknown_database(ready: Project) -> None:
    """A database that does not exist is refused immediately, by name."""
    ready.settings["LOCKGATE_DATABASE_URL"] = url(
        ready, password=ready.database.password, name="nowhere"
    )
    kind, message = error_of(ready.run())
    assert "RequestRefused" == kind
    assert message.startswith("Database nowhere does not exist on 127.0.0.1:")


def test_refused_connection_is_waited_for_within_the_budget(ready: Project) -> None:
    """A server that refuses connections is retried until the connect budget is used up."""
    # Bound but not listening, so that no other process can take the port.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, port=closed.getsockname()[1])
        kind, message = error_of(ready.run(LOCKGATE_CONNECT_BUDGET="300ms"))
    assert "DatabaseUnreachable" == kind
    assert "the connection was refused" in message
    assert ready.emitted("database_waited_for")


def test_invalid_file_is_reported_instead_of_the_connection(ready: Project) -> None:
    """An error in a migration file is reported even if the server does not answer."""
    ready.write({"no-version.sql": "SELECT 1;"})
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, port=closed.getsockname()[1])
        kind, message = error_of(ready.run(LOCKGATE_CONNECT_BUDGET="300ms"))
    assert ("RequestRefused", True) == (kind, message.startswith("no-version.sql"))


def test_pauses_between_two_tries_grow_up_to_the_budget(database: Database) -> None:
    """The pauses between connection attempts double for as long as the budget lasts."""
    accesses, clock = Rotating(database, has_pending=False), InstantClock()
    waited: list[int] = []
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        accesses.port = closed.getsockname()[1]
        connector = make_connector(
            accesses, clock, lambda _, **fields: waited.append(fields["waited_ms"])
        )
        with pytest.raises(DatabaseUnreachable, match=r"could not be reached in 5 s"):
            connector.connect("test")
    assert [0, 200, 600, 1_400, 3_000] == waited


def test_unresolved_host(ready: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that the host does not resolve."""

    def resolve_nothing(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve_nothing)
    ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, host="db.invalid")
    kind, message = error_of(ready.run(LOCKGATE_CONNECT_BUDGET="300ms"))
    assert "DatabaseUnreachable" == kind
    assert "db.invalid:" in message
    assert "the host does not resolve" in message


@pytest.fixture
def silent_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give a resolver that does not answer for names until the test is over."""
    look_up, is_over = socket.getaddrinfo, threading.Event()

    def wait(host: str, port: Any, *rest: Any, **more: Any) -> Any:
        # `create_connection` asks with positional arguments, and only about an address.
        if host[0].isdigit() or more.get("flags", 0) & socket.AI_NUMERICHOST:
            return look_up(host, port, *rest, **more)
        is_over.wait(LONGEST_SECONDS)
        raise socket.gaierror(socket.EAI_AGAIN, "no name server")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    yield
    is_over.set()


@pytest.mark.usefixtures("silent_resolver")
def test_resolver_that_does_not_answer_is_given_up(ready: Project) -> None:
    """A resolver that hangs is given up after the connect timeout, and the message says so."""
    ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, host="db.invalid")
    begun = time.monotonic()
    report = ready.run(LOCKGATE_CONNECT_TIMEOUT="300ms", LOCKGATE_CONNECT_BUDGET="500ms")
    assert time.monotonic() - begun < LONGEST_SECONDS / 2
    kind, message = error_of(report)
    assert "DatabaseUnreachable" == kind
    assert "the host name was not resolved in time" in message


@pytest.mark.usefixtures("silent_resolver")
def test_resolver_that_does_not_answer_does_not_outlast_the_deadline(ready: Project) -> None:
    """However long a connect attempt may take, the deadline ends the wait for a name."""
    ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, host="db.invalid")
    begun = time.monotonic()
    deadline = Deadline(lambda: round((begun + 1.5 - time.monotonic()) * 1000), 1_000)
    report = ready.run(deadline=deadline)
    assert time.monotonic() - begun < LONGEST_SECONDS / 2
    assert "the host name was not resolved in time" in error_of(report)[1]


def test_defect_of_the_resolver_is_not_called_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any error of the thread that looks a name up is raised, not only those of the system."""
    look_up = socket.getaddrinfo

    def fail(host: str, *rest: Any, **more: Any) -> Any:
        if host == "db.example" and not more.get("flags"):
            raise RuntimeError("defect")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(RuntimeError, match="defect"):
        resolve("db.example", 5432, 5)


@pytest.mark.usefixtures("silent_resolver")
def test_address_is_not_looked_up(ready: Project) -> None:
    """A host given as an address is connected to without a resolver."""
    assert Status.APPLIED == ready.run().status


def test_each_address_of_a_host_is_tried(ready: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first address of a host refuses, the next one is connected to."""
    look_up = socket.getaddrinfo
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused = unused.getsockname()[1]

        def find_two(host: str, port: Any, *rest: Any, **more: Any) -> Any:
            if host != "db.example" or more.get("flags"):
                return look_up(host, port, *rest, **more)
            first, second = (look_up("127.0.0.1", one, *rest, **more) for one in (refused, port))
            return [*first, *second]

        monkeypatch.setattr(socket, "getaddrinfo", find_two)
        ready.settings["LOCKGATE_DATABASE_URL"] = ready.address().replace("127.0.0.1", "db.example")
        ready.settings["LOCKGATE_TLS"] = "require"
        assert Status.APPLIED == ready.run().status


def test_untrusted_certificate(ready: Project) -> None:
    """A certificate from an unknown authority ends the attempt before a password is sent."""
    ready.settings["LOCKGATE_CA_FILE"] = ""
    kind, message = error_of(ready.run())
    assert "DatabaseUnreachable" == kind
    assert "is not trusted" in message
    assert "No credentials were sent" in message


def test_plain_connection_needs_loopback_or_force(ready: Project) -> None:
    """TLS can be turned off only for loopback addresses."""
    ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, host="db.invalid")
    kind, message = error_of(ready.run(LOCKGATE_TLS="off"))
    assert "RequestRefused" == kind
    assert "LOCKGATE_TLS=off is only allowed for loopback addresses" in message


def test_server_that_hangs_is_given_up(ready: Project) -> None:
    """A server that accepts the connection but never answers costs no more than the connect timeout."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, port=silent.getsockname()[1])
        report = ready.run(LOCKGATE_CONNECT_TIMEOUT="300ms", LOCKGATE_CONNECT_BUDGET="500ms")
    kind, message = error_of(report)
    assert "DatabaseUnreachable" == kind
    assert "the connection timed out" in message


def test_server_that_resets_is_waited_for(ready: Project) -> None:
    """A server that resets connections, for example while resuming, is retried."""
    with socket.socket() as dropping:
        dropping.bind(("127.0.0.1", 0))
        dropping.listen(8)
        stop = threading.Event()

        def drop() -> None:
            dropping.settimeout(0.05)
            while not stop.is_set():
                try:
                    peer, _ = dropping.accept()
                except TimeoutError:
                    continue
                peer.settimeout(LONGEST_SECONDS)
                peer.recv(8)
                # A linger of zero makes close() send RST.
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()

        dropper = Background.start(drop)
        ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, port=dropping.getsockname()[1])
        report = ready.run(LOCKGATE_CONNECT_BUDGET="700ms")
        stop.set()
        dropper.result()
    kind, message = error_of(report)
    assert "DatabaseUnreachable" == kind
    assert "the connection was reset" in message


def test_role_without_the_right_to_create_schemas_is_refused(ready: Project) -> None:
    """A role that may not create the schema is told which grant it needs."""
    ready.database.run("DROP ROLE IF EXISTS lesser; CREATE ROLE lesser LOGIN PASSWORD 'x'")
    try:
        ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, user="lesser")
        report = ready.run()
        kind, message = error_of(report)
        assert "RequestRefused" == kind
        assert (
            f"The role lesser may not create Lockgate's tables in database {ready.database.name}"
            in message
        )
        assert report.next_action is not None
        assert "GRANT CREATE ON DATABASE" in report.next_action
    finally:
        ready.database.run("DROP ROLE lesser")


def test_prepared_schema_needs_no_right_to_create_one(ready: Project) -> None:
    """A role that owns the schema lockgate can migrate without CREATE on the database."""
    ready.database.run(
        "DROP ROLE IF EXISTS owner_of; CREATE ROLE owner_of LOGIN PASSWORD 'x';"
        " CREATE SCHEMA lockgate AUTHORIZATION owner_of; GRANT ALL ON SCHEMA public TO owner_of"
    )
    try:
        ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, user="owner_of")
        assert Status.APPLIED == ready.run().status
    finally:
        ready.database.run("DROP OWNED BY owner_of CASCADE; DROP ROLE owner_of")


@pytest.mark.parametrize("has_history", [False, True])
def test_read_only_database_is_refused(ready: Project, has_history: bool) -> None:  # noqa: FBT001
    """A read-only database is refused with a reference to the writer; a plan is still allowed."""
    if has_history:
        ready.run()
        ready.write({"2_b.sql": "SELECT 1;"})
    name = ready.database.name
    ready.database.run(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    kind, message = error_of(ready.run())
    assert "RequestRefused" == kind
    assert message.startswith(f"Database {name} is read-only here")
    assert Status.PLANNED == ready.run(Action.PLAN).status


def test_role_without_rights_on_our_tables_is_refused(ready: Project) -> None:
    """A role without rights on the history is refused with the ways to fix that."""
    ready.run()
    ready.database.run("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN PASSWORD 'x'")
    try:
        ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, user="stranger")
        kind, message = error_of(ready.run())
        assert "RequestRefused" == kind
        assert "The role may not use the tables in schema lockgate" in message
    finally:
        ready.database.run("DROP ROLE stranger")


def test_set_role_owns_what_is_created(ready: Project) -> None:
    """With LOCKGATE_SET_ROLE, Lockgate's tables and those of the migrations belong to that role."""
    ready.database.run(
        "DROP ROLE IF EXISTS owning; CREATE ROLE owning; GRANT ALL ON SCHEMA public TO owning;"
        f' GRANT CREATE ON DATABASE "{ready.database.name}" TO owning'
    )
    try:
        assert Status.APPLIED == ready.run(LOCKGATE_SET_ROLE="owning").status
        rows = ready.database.run(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 'lockgate')"
        )
        assert [["owning"]] == rows
    finally:
        ready.database.run("DROP OWNED BY owning CASCADE; DROP ROLE owning")


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("nobody_has_it", "The role in LOCKGATE_SET_ROLE does not exist: "),
        ("postgres", "The role that signs in may not act as LOCKGATE_SET_ROLE: "),
    ],
)
def test_role_that_cannot_be_acted_as_is_refused(ready: Project, role: str, message: str) -> None:
    """A role that does not exist, or that the login role is not a member of, is named in the error."""
    name = f"acting_{ready.database.name}"
    ready.database.run(f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    try:
        ready.settings["LOCKGATE_DATABASE_URL"] = url(ready, user=name)
        report = ready.run(LOCKGATE_SET_ROLE=role)
    finally:
        ready.database.run(f"DROP ROLE {name}")
    assert Status.REFUSED == report.status
    assert error_of(report)[1].startswith(message)


class Rotating:
    """A secret in the middle of a rotation: the database already has the pending password."""

    may_rotate = True

    def __init__(self, database: Database, *, has_pending: bool) -> None:
        self._database = database
        self._has_pending = has_pending
        self.port = database.port
        self.asked: list[str] = []

    def _access(self, stage: str, password: str) -> Access:
        self.asked.append(stage)
        database = self._database
        endpoint = Endpoint(database.host, self.port, database.name)
        return Access(endpoint, Credentials(database.user, password, f"secret db ({stage})"))

    def current(self) -> Access:
        """Return the old password, which no longer works."""
        return self._access("AWSCURRENT", "the old one")

    def pending(self) -> Access | None:
        """Return the pending password, which already works."""
        return self._access("AWSPENDING", self._database.password) if self._has_pending else None

    def context(self, access: Access) -> ssl.SSLContext | None:
        """Return the context that verifies the test server."""
        ca_file, host = str(self._database.ca_file), access.endpoint.host
        return make_tls_context(Tls.VERIFY_FULL, host, ca_file=ca_file, off_anywhere=False)


class InstantClock:
    """A clock on which waiting takes no time."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return the current time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.now += seconds


def make_connector(
    accesses: Rotating,
    clock: InstantClock,
    emit: Callable[..., None] = lambda *_, **__: None,
) -> Connector:
    """Return a connector that waits on the given clock."""
    retry = ConnectRetry(5_000, 5_000)
    return Connector(accesses, retry, clock, Deadline(None, 1_000), log_to(emit))


def test_rotation_in_flight_is_followed(database: Database) -> None:
    """A rejected password is followed by the pending one, which the database already accepts."""
    accesses = Rotating(database, has_pending=True)
    connection = make_connector(accesses, InstantClock()).connect("test")
    connection.close()
    assert ["AWSCURRENT", "AWSPENDING"] == accesses.asked


def test_rejected_secret_is_read_afresh_and_then_given_up(database: Database) -> None:
    """Without a rotation, the secret is read three times, and the error lists what was tried."""
    accesses, clock = Rotating(database, has_pending=False), InstantClock()
    with pytest.raises(CredentialsRejected, match=r"Tried: secret db \(AWSCURRENT\)\."):
        make_connector(accesses, clock).connect("test")
    assert ["AWSCURRENT"] * 3 == accesses.asked
    assert clock.now > 1


PASSWORDS = [
    "\U0001f511key",
    "a\tb",
    "a\n",
    "\u00adsoft",
    "\u00ad",
    "a\u00a0b",
    "\u2168",
    "\u05d0a",
    "\ue000",
    "\u0627b1",
    "plain",
    "e\u0301\U0001f600",
]


@pytest.mark.parametrize("password", PASSWORDS)
def test_password_that_saslprep_forbids_or_changes_signs_in(ready: Project, password: str) -> None:
    """Passwords are prepared with SASLprep where possible and otherwise sent unchanged, as by libpq."""
    name = f"odd_{ready.database.name}"
    quoted = password.replace("'", "''")
    ready.database.run(
        f"CREATE ROLE {name} LOGIN PASSWORD E'{quoted}';"
        f'GRANT CREATE ON DATABASE "{ready.database.name}" TO {name};'
        f"GRANT ALL ON SCHEMA public TO {name}"
    )
    try:
        address = url(ready, user=name, password=quote(password, safe=""))
        report = ready.run(LOCKGATE_DATABASE_URL=address)
        assert (None, Status.APPLIED) == (report.error, report.status)
        wrong = url(ready, user=name, password=quote(f"{password}\u00e4\n", safe=""))
        refused = ready.run(LOCKGATE_DATABASE_URL=wrong).error
        assert refused is not None
        assert "credentials-rejected" == refused.code
        assert "The password ends with a line break. If that is not intended" in (
            refused.hint or ""
        )
    finally:
        ready.database.run(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


@contextmanager
def unix_socket(project: Project, folder: Path) -> Iterator[Path]:
    """Listen on a Unix socket and forward each connection to the project's server."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / ".s.PGSQL.5432"))
    listener.listen()

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((project.database.host, project.database.port))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=copy, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield folder
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize("form", ["postgresql://{login}@/{name}?host={folder}", "{encoded}"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_unix_socket_is_connected_to_without_tls(ready: Project, form: str) -> None:
    """A Unix socket is used without TLS, and a missing socket is named in the error."""
    database = ready.database
    ready.settings.pop("LOCKGATE_DATABASE_URL", None)
    with TemporaryDirectory() as name, unix_socket(ready, Path(name)) as folder:
        login = f"{database.user}:{database.password}"
        encoded = f"postgresql://{login}@{quote(str(folder), safe='')}/{database.name}"
        address = form.format(login=login, name=database.name, folder=folder, encoded=encoded)
        report = ready.run(LOCKGATE_DATABASE_URL=address)
        assert (None, Status.APPLIED) == (report.error, report.status)
        gone = ready.run(
            LOCKGATE_DATABASE_URL=f"{address.partition('?')[0]}x?host=/nowhere"
            if "?" in address
            else address.replace("%2F", "%2Fnowhere%2F", 1),
            LOCKGATE_CONNECT_BUDGET="300ms",
        )
        assert gone.error is not None
        assert "the socket does not exist" in gone.error.message
