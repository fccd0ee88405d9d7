"""Applying migrations while holding the lock."""
