"""Optimisations of the start: each one is a module, whose docstring gives its gain."""
