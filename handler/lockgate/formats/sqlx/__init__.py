"""sqlx: its folder and its history table."""
