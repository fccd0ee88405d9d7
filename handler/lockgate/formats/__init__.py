"""Directory conventions to a catalog: one package per tool."""
