"""Optimisations of the start, one in each module. ``docs/cold-start.md`` has the gain of each."""
