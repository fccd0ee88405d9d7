"""Directory conventions to a catalog: one module per format."""
