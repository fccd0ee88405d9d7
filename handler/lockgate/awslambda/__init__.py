"""The Lambda function, and the callers whose events it answers."""
