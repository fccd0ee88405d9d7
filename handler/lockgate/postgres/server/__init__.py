"""Connections to the server, and messages over them."""
