"""The example's function: queries a database that may be asleep; its schema exists already."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3

# A cluster that scaled to zero takes some 15 s to wake. The Data API returns an error instead of
# waiting.
RETRY_AFTER_SECONDS = 5

rds = boto3.client("rds-data")


def lambda_handler(_event: Any, _context: object) -> dict[str, Any]:
    """Answer with the number of customers, or with the time to retry after."""
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
