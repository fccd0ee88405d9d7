"""Alembic: its folder and its history table."""
