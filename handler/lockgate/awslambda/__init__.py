"""The function: what Lambda calls, and the callers that it answers."""
