"""What a run does, from the request to the report."""
