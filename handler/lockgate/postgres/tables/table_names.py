"""The names of Lockgate's own tables."""

from __future__ import annotations

from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.quoting import quote_identifier


@dataclass(frozen=True, slots=True)
class Tables:
    """The qualified, quoted names of our tables in one schema."""

    schema_name: str

    @property
    def schema(self) -> str:
        """The schema, quoted."""
        return quote_identifier(self.schema_name)

    @property
    def history(self) -> str:
        """One row per applied migration."""
        return f"{self.schema}.migration_history"

    @property
    def run(self) -> str:
        """One row per run that wanted to change something."""
        return f"{self.schema}.migration_run"

    @property
    def lock(self) -> str:
        """One row: who holds the lock."""
        return f"{self.schema}.migration_lock"

    @property
    def status(self) -> str:
        """The view for dashboards: the applied migrations, without scripts."""
        return f"{self.schema}.status"
