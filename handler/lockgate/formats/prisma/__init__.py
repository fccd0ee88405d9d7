"""Prisma: its folder and its history table."""
