"""Rails: its folder and its history table."""
