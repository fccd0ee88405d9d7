"""Split, classify and redact PostgreSQL's SQL."""
