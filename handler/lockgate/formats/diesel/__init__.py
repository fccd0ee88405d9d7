"""Diesel: its folder and its history table."""
