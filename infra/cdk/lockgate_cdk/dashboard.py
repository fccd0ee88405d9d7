"""Makes the dashboard of template.yaml for the function; a test compares the two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, Stack
from aws_cdk import aws_cloudwatch as cloudwatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_logs as logs
    from constructs import Construct

_RUNS = (
    ("MigrationsApplied", "Sum"),
    ("MigrationsPending", "Maximum"),
    ("RunFailed", "Sum"),
    ("LockBusy", "Sum"),
)
_TIMES = (("RunDuration", "Maximum"), ("LockWait", "Maximum"))
_INVOCATIONS = ("Invocations", "Errors", "Throttles", "AsyncEventsDropped")
_ENDS_OF_RUNS = (
    "fields @timestamp, message, status, error_code, error, correlation_id"
    " | filter message in ['run_finished', 'run_failed', 'run_continued']"
    " | sort @timestamp desc | limit 50"
)


def make_dashboard(
    scope: Construct,
    function: lambda_.IFunction,
    log_group: logs.ILogGroup,
    alarms: Sequence[cloudwatch.IAlarm],
) -> cloudwatch.CfnDashboard:
    """Return a dashboard of runs, times, reports and, if there are any, alarms."""
    name = function.function_name
    widgets = [
        *([_show_alarms(alarms)] if alarms else []),
        _show_metrics("Runs", "Sum", (0, 2), [_search(name, *metric) for metric in _RUNS]),
        _show_metrics(
            "Times",
            "Maximum",
            (12, 2),
            [_search(name, *metric) for metric in _TIMES],
            yAxis={"left": {"label": "ms", "showUnits": False, "min": 0}},
        ),
        _show_metrics("Invocations", "Sum", (0, 8), [_count(name, one) for one in _INVOCATIONS]),
        _show_log(log_group),
    ]
    body = {"start": "-P7D", "widgets": widgets}
    return cloudwatch.CfnDashboard(
        scope, "Dashboard", dashboard_body=Stack.of(scope).to_json_string(body)
    )


def _show_alarms(alarms: Sequence[cloudwatch.IAlarm]) -> dict[str, Any]:
    properties = {"title": Aws.STACK_NAME, "alarms": [alarm.alarm_arn for alarm in alarms]}
    return {"type": "alarm", "x": 0, "y": 0, "width": 24, "height": 2, "properties": properties}


def _show_metrics(
    title: str, statistic: str, place: tuple[int, int], metrics: Sequence[Any], **further: Any
) -> dict[str, Any]:
    properties = {
        "title": title,
        "region": Aws.REGION,
        "stat": statistic,
        "period": 300,
        "metrics": metrics,
        **further,
    }
    return _place("metric", place, properties)


def _show_log(log_group: logs.ILogGroup) -> dict[str, Any]:
    properties = {
        "title": "Ends of runs",
        "region": Aws.REGION,
        "view": "table",
        "query": f"SOURCE '{log_group.log_group_name}' | {_ENDS_OF_RUNS}",
    }
    return _place("log", (12, 8), properties)


def _place(kind: str, place: tuple[int, int], properties: dict[str, Any]) -> dict[str, Any]:
    x, y = place
    return {"type": kind, "x": x, "y": y, "width": 12, "height": 6, "properties": properties}


def _search(function_name: str, metric: str, statistic: str) -> list[dict[str, str]]:
    """Return a metric of Lockgate over all databases, since only the secret may contain the name."""
    found = (
        "{Lockgate,database,function_name,service}"
        f' function_name="{function_name}" MetricName="{metric}"'
    )
    return [{"expression": f"SEARCH('{found}', '{statistic}', 300)"}]


def _count(function_name: str, metric: str) -> list[str]:
    return ["AWS/Lambda", metric, "FunctionName", function_name]
