"""dbmate: its folder and its history table."""
