"""Lockgate for apps of the AWS CDK: the construct `DatabaseMigrations` and its arguments' types."""

from lockgate_cdk.database_migrations import DatabaseMigrations
from lockgate_cdk.endpoints import Endpoint

__all__ = ["DatabaseMigrations", "Endpoint"]
