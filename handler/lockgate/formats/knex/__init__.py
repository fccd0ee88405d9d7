"""Knex: its folder and its history table."""
