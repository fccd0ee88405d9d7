"""graphile-migrate: its folder and its history table."""
