"""node-pg-migrate: its folder and its history table."""
