"""Other tools' history tables, one module each: what they say was applied."""
