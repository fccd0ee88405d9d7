"""Talks to the server."""
