"""The server: connection, statements, history, lock. The only place that knows SQL of ours."""
