"""Code that the readers of several tools share."""
