"""Reads what a command asks for, each fact from its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from lockgate.core.events import Event
from lockgate.core.older_package import RecordedRuns
from lockgate.engine.needs import NEEDS, Need

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from lockgate.core.request import Request
    from lockgate.engine.decision import Ask
    from lockgate.engine.dependencies import Records, RunDependencies

Decided = TypeVar("Decided")

_FROM_RECORDS: dict[Need, Callable[[Records, Any], Any]] = {
    Need.RUNS: lambda records, limit: records.read_runs(limit),
    Need.ACTIONS: lambda records, _: records.read_actions(),
    Need.TABLES: lambda records, _: records.list_tables(),
    Need.CHANGED: lambda records, _: records.has_changed_anything(),
    Need.SCRIPTS: lambda records, ids: records.read_scripts(ids),
    Need.UNDO_FACTS: lambda records, ids: records.read_undo_facts(ids),
}


class Reader:
    """Answers the questions of one request's command."""

    def __init__(self, dependencies: RunDependencies, request: Request) -> None:
        self._dependencies = dependencies
        self._database = dependencies.database
        self._request = request
        database = dependencies.database
        self._readers: dict[Need, Callable[[Any], Any]] = {
            Need.HOLDER: lambda _: database.read_holder(),
            Need.OPERATIONS: database.check_steps,
            Need.EVIDENCE: self._read_evidence,
            Need.CONTACT: self._read_contact,
            Need.CLAIMS: self._read_claims,
        }

    def consult(self, deciding: Generator[Ask | Event, Any, Decided]) -> Decided:
        """Let a command decide: record what it finds out, and read what it asks for.

        Raises what the command or the server refuses.
        """
        answer = None
        while True:
            try:
                item = deciding.send(answer)
            except StopIteration as end:
                decided: Decided = end.value
                return decided
            if isinstance(item, Event):
                self._dependencies.events.add(item)
                answer = None
            else:
                answer = self.read(item)

    def read(self, ask: Ask) -> Any:
        """Return what is asked for. What a command did not declare is a defect."""
        if ask.need not in NEEDS[self._request.action]:
            raise AssertionError(f"{self._request.action} does not declare {ask.need}")
        if ask.need in _FROM_RECORDS:
            return _FROM_RECORDS[ask.need](self._database.records, ask.subject)
        return self._readers[ask.need](ask.subject)

    def _read_evidence(self, subject: tuple[str, int]) -> RecordedRuns:
        digest, first_token = subject
        records = self._database.records
        has_run = records.has_recorded(digest, first_token)
        return RecordedRuns(has_run=has_run, actions=records.read_actions())

    def _read_contact(self, subject: tuple[Any, Any]) -> Any:
        from lockgate.formats.foreign_tables import make_contact

        tables, stub = subject
        find_name = self._dependencies.find_table_name
        return make_contact(self._database.ask, tables, stub, self._database.schema, find_name)

    def _read_claims(self, catalog: Any) -> Any:
        from lockgate.formats.claims import read_claims
        from lockgate.formats.foreign_tables import Detection

        ask, request, needed = self._database.ask, self._request, self._dependencies
        found = Detection(ask, needed.find_table_name, request.source, request.table)
        tool, table = found.detect()
        return tool, table, read_claims(ask, tool, table, catalog, needed.folder)
