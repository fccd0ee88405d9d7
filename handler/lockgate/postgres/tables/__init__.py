"""Lockgate's own tables."""
