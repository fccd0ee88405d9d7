"""Applies migrations."""
