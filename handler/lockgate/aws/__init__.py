"""AWS: secrets and endpoints. The only place, beside the callers that answer, that knows botocore."""
