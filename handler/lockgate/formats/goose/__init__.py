"""goose: its folder and its history table."""
