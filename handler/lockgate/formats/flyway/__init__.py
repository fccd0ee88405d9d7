"""Flyway: its folder and its history table."""
