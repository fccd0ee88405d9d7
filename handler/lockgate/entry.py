"""The entry point of the function: Lambda imports this module and calls `lambda_handler`."""

from __future__ import annotations

from lockgate.fast_start.garbage import pause_collection, resume_collection

pause_collection()
from lockgate.awslambda.load import load_handler  # noqa: E402 - while the collector is paused

lambda_handler = load_handler()
resume_collection()
