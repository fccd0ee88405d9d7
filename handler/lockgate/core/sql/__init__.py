"""Reads PostgreSQL's SQL."""
