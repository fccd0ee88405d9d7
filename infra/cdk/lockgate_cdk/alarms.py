"""Makes the alarms of template.yaml for the function; a test compares the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk.aws_cloudwatch_actions import SnsAction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_sns as sns
    from constructs import Construct

_MINUTE = Duration.minutes(1)
# Nine tenths of Lambda's 15 minutes.
_LONG_MS = 810_000


@dataclass(frozen=True, slots=True)
class _Rule:
    """When an alarm goes off: above 0, or from ``threshold`` on if it is not 0."""

    name: str
    description: str
    metric: cloudwatch.IMetric
    threshold: int = 0


def make_alarms(
    scope: Construct,
    function: lambda_.IFunction,
    topic: sns.ITopic | None,
    *,
    has_destination: bool,
) -> list[cloudwatch.Alarm]:
    """Return an alarm for each way in which a run, or its answer, can go wrong."""
    rules = _list_rules(function, has_destination=has_destination)
    return [_make_alarm(scope, rule, topic) for rule in rules]


def _list_rules(function: lambda_.IFunction, *, has_destination: bool) -> Iterator[_Rule]:
    yield _Rule(
        "RunFailedAlarm",
        "A migration run failed. The function's log has the report.",
        _count(function, "RunFailed"),
    )
    yield _Rule(
        "LockBusyAlarm",
        "A run gave up waiting for another one, which holds the migration lock. The report says which"
        " one, and until when.",
        _count(function, "LockBusy"),
    )
    yield _Rule(
        "ErrorsAlarm",
        "An invocation ended with an error, was killed, or could not start.",
        function.metric_errors(period=_MINUTE, statistic="Sum"),
    )
    yield _Rule(
        "DurationAlarm",
        "A run took nine tenths of the 15 minutes there are. Split long migrations, or run them as"
        " backfills, before one does not finish.",
        function.metric_duration(period=_MINUTE, statistic="Maximum"),
        _LONG_MS,
    )
    yield _Rule(
        "EventDroppedAlarm",
        "Lambda gave up an event after its retries, or could not start it in time. Nobody answers its"
        " sender any more; look at the function's log, and at on_failure.",
        function.metric("AsyncEventsDropped", period=_MINUTE, statistic="Sum"),
    )
    if has_destination:
        yield _Rule(
            "FailureNotDeliveredAlarm",
            "An event that Lambda gave up could not be delivered to on_failure.",
            function.metric("DestinationDeliveryFailures", period=_MINUTE, statistic="Sum"),
        )


def _count(function: lambda_.IFunction, name: str) -> cloudwatch.IMetric:
    """Return a metric of Lockgate over all databases, since only the secret may contain the name."""
    function_name = function.function_name
    query = f"SELECT SUM({name}) FROM \"Lockgate\" WHERE function_name = '{function_name}'"  # noqa: S608 - a CloudWatch query of our own names
    return cloudwatch.MathExpression(label=name, expression=query, using_metrics={}, period=_MINUTE)


def _make_alarm(scope: Construct, rule: _Rule, topic: sns.ITopic | None) -> cloudwatch.Alarm:
    operators = cloudwatch.ComparisonOperator
    alarm = cloudwatch.Alarm(
        scope,
        rule.name,
        alarm_description=rule.description,
        metric=rule.metric,
        comparison_operator=operators.GREATER_THAN_THRESHOLD
        if rule.threshold == 0
        else operators.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        threshold=rule.threshold,
        evaluation_periods=1,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    if topic is not None:
        alarm.add_alarm_action(SnsAction(topic))
    return alarm
