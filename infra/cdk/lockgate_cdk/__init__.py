"""Lockgate in an app of the AWS CDK: `DatabaseMigrations`, and what it takes."""

from lockgate_cdk.database_migrations import DatabaseMigrations
from lockgate_cdk.endpoints import Endpoint

__all__ = ["DatabaseMigrations", "Endpoint"]
