"""Sqitch: its folder and its history table."""
