"""AWS: secrets, endpoints, backups and functions. Only this package and the callers use botocore."""
