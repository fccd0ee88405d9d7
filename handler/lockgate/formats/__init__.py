"""The formats of migration folders: one package per tool, found by its name."""
