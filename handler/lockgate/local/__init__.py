"""A developer's machine: an embedded server and the demo. Never imported by the function."""
