"""postgres-migrations: its folder and its history table."""
