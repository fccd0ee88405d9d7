"""Liquibase: its folder and its history table."""
