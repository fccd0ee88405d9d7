"""The example's function: it asks a database that may be asleep, over a schema that is there."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3

# A cluster at no capacity takes some 15 s to wake; the Data API says so instead of waiting.
RETRY_AFTER_SECONDS = 5

rds = boto3.client("rds-data")


def lambda_handler(_event: Any, _context: object) -> dict[str, Any]:
    """Answer with the number of customers, or with when to ask again."""
    try:
        answer = rds.execute_statement(
            resourceArn=os.environ["CLUSTER_ARN"],
            secretArn=os.environ["SECRET_ARN"],
            database=os.environ["DATABASE"],
            sql="SELECT count(*) FROM shop.customers",
        )
    except rds.exceptions.DatabaseResumingException:
        return {"statusCode": 503, "headers": {"Retry-After": str(RETRY_AFTER_SECONDS)}}
    customers = answer["records"][0][0]["longValue"]
    return {"statusCode": 200, "body": json.dumps({"customers": customers})}
