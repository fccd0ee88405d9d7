"""yoyo: its folder and its history table."""
