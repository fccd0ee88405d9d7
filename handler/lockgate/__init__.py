"""Lockgate brings a PostgreSQL schema to the state that a deploy needs, once per deploy."""

__version__ = "0.1.0"
