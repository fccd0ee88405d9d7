"""Lockgate's own format."""
