"""What the readers of several tools share."""
