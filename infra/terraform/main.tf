# One apply:
#
#   zip file ──hash──> aws_lambda_function ──> aws_lambda_invocation ──> what depends on the module
#      │                                            ^
#      └──────────────── triggers ──────────────────┘ replaced when one changes, and only then

data "aws_partition" "current" {
  count = var.create ? 1 : 0
}

data "aws_region" "current" {
  count = var.create ? 1 : 0
}

data "aws_caller_identity" "current" {
  count = var.create ? 1 : 0
}

locals {
  partition  = try(data.aws_partition.current[0].partition, "")
  dns_suffix = try(data.aws_partition.current[0].dns_suffix, "")
  region     = try(data.aws_region.current[0].id, "")
  account_id = try(data.aws_caller_identity.current[0].account_id, "")
  rds        = "arn:${local.partition}:rds:${local.region}:${local.account_id}"

  package_hash = var.package_path == null ? var.package_hash : try(filebase64sha256(var.package_path), null)

  # Both functions have the same package. They differ in their allowed actions, and in Lambda's retries:
  # a repeated deploy takes over the dead run's lock and resumes, but an operator's command must not be
  # repeated without the operator's knowledge.
  functions = { for name, function in {
    migrate = {
      function_name                  = var.name
      description                    = "Applies this package's migrations to the database."
      role_description               = "Permissions of the function for deploys."
      reserved_concurrent_executions = -1
      maximum_retry_attempts         = 2
      maximum_event_age_in_seconds   = 3600
      environment_variables          = var.create_operate ? { LOCKGATE_OPERATE = "${var.name}-operate" } : {}
    }
    operate = {
      function_name                  = "${var.name}-operate"
      description                    = "For operators: down, repair, baseline, adopt and unlock."
      role_description               = "Permissions of the function for operators."
      reserved_concurrent_executions = var.operate_reserved_concurrent_executions
      maximum_retry_attempts         = 0
      # Lambda needs minutes to activate an idle function. The event must not expire before that.
      maximum_event_age_in_seconds = 600
      environment_variables = {
        LOCKGATE_ALLOWED_ACTIONS = "status,plan,history,down,repair,baseline,adopt,unlock"
      }
    }
  } : name => function if var.create && (name == "migrate" || var.create_operate) }

  environment_variables = { for name, value in {
    LOCKGATE_SECRET_ARN = var.secret_arn
    LOCKGATE_IAM_AUTH   = var.iam_database_user_arn == null ? null : "true"
    LOCKGATE_HOST       = var.host
    LOCKGATE_PORT       = var.port == null ? null : tostring(var.port)
    LOCKGATE_DBNAME     = var.dbname
    LOCKGATE_USERNAME   = var.username
    LOCKGATE_BACKUP     = var.backup
  } : name => value if value != null }
}

################################################################################
# Functions
################################################################################

resource "aws_lambda_function" "this" {
  for_each = local.functions

  function_name = each.value.function_name
  description   = each.value.description
  role          = aws_iam_role.this[each.key].arn

  filename          = var.package_path
  s3_bucket         = var.s3_bucket
  s3_key            = var.s3_key
  s3_object_version = var.s3_object_version
  source_code_hash  = local.package_hash

  runtime                        = "python3.13"
  architectures                  = [var.architecture]
  handler                        = "lockgate.entry.lambda_handler"
  timeout                        = 900
  memory_size                    = var.memory_size
  reserved_concurrent_executions = each.value.reserved_concurrent_executions
  kms_key_arn                    = var.kms_key_arn

  environment {
    variables = merge(local.environment_variables, var.environment_variables, each.value.environment_variables)
  }

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = concat(aws_security_group.this[*].id, var.security_group_ids)
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.this[each.key].name
  }

  tags = var.tags

  lifecycle {
    precondition {
      condition     = (var.package_path == null) != (var.s3_bucket == null || var.s3_key == null)
      error_message = "Give package_path (make build writes the file), or s3_bucket and s3_key."
    }

    precondition {
      condition     = var.package_path == null ? true : fileexists(var.package_path)
      error_message = "There is no file at package_path. Run make build first."
    }

    precondition {
      condition     = var.package_path != null || var.package_hash != null
      error_message = "With a package in a bucket, give package_hash: the migration runs when it changes."
    }

    precondition {
      condition     = var.secret_arn != null || (var.iam_database_user_arn != null && var.host != null && var.username != null)
      error_message = "Give secret_arn, or iam_database_user_arn with host and username."
    }

    precondition {
      condition     = length(var.subnet_ids) > 0
      error_message = "Give subnet_ids: subnets from which the database and Secrets Manager can be reached."
    }
  }

  # The permissions to create and delete network interfaces in the VPC.
  depends_on = [aws_iam_role_policy_attachment.reach_database]
}

resource "aws_lambda_function_event_invoke_config" "this" {
  for_each = local.functions

  function_name                = aws_lambda_function.this[each.key].function_name
  qualifier                    = "$LATEST"
  maximum_retry_attempts       = each.value.maximum_retry_attempts
  maximum_event_age_in_seconds = each.value.maximum_event_age_in_seconds

  dynamic "destination_config" {
    for_each = each.key == "migrate" ? var.failure_destination[*] : []

    content {
      on_failure {
        destination = destination_config.value.arn
      }
    }
  }

  # Lambda checks that the role may send to the destination.
  depends_on = [aws_iam_role_policy.hand_over_failed_events]
}

################################################################################
# Migration
################################################################################

locals {
  command = { for name, value in {
    action       = "up"
    target       = var.target
    reason       = var.reason
    requested_by = var.requested_by
    first_run    = var.first_run
  } : name => value if value != null }
}

resource "aws_lambda_invocation" "this" {
  count = var.create && var.migrate ? 1 : 0

  function_name = aws_lambda_function.this["migrate"].function_name
  input         = jsonencode(local.command)

  # On destroy Terraform invokes the function, which changes nothing in the database.
  lifecycle_scope = "CRUD"

  # A trigger replaces the resource, so a failed run is not in the state, and the next apply repeats it.
  # A change of the input alone would be an update, which Terraform considers done even if it failed.
  # So everything in the input is a trigger.
  triggers = merge(var.triggers, {
    package = local.package_hash
    command = jsonencode(local.command)
    database = jsonencode([
      var.secret_arn, var.iam_database_user_arn, var.host, var.port, var.dbname, var.username,
    ])
  })

  depends_on = [
    aws_iam_role_policy.go_on,
    aws_iam_role_policy_attachment.back_up,
    aws_iam_role_policy.write_log,
    aws_vpc_security_group_egress_rule.database,
    aws_vpc_security_group_egress_rule.https,
    aws_vpc_security_group_ingress_rule.database,
  ]
}

locals {
  report = try(jsondecode(aws_lambda_invocation.this[0].result), null)
}

################################################################################
# Roles
################################################################################

resource "aws_iam_role" "this" {
  for_each = local.functions

  name_prefix          = "${var.name}-${each.key}-"
  description          = each.value.role_description
  permissions_boundary = var.role_permissions_boundary

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole"]
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })

  tags = var.tags
}

resource "aws_iam_role_policy" "write_log" {
  for_each = local.functions

  name = "write-log"
  role = aws_iam_role.this[each.key].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${aws_cloudwatch_log_group.this[each.key].arn}:*"]
    }]
  })
}

# A run that is out of time continues in another invocation.
resource "aws_iam_role_policy" "go_on" {
  count = var.create ? 1 : 0

  name = "go-on"
  role = aws_iam_role.this["migrate"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction"]
      Resource = [aws_lambda_function.this["migrate"].arn]
    }]
  })
}

# Jobs have no ARN, so these actions accept no narrower resource.
resource "aws_iam_role_policy" "answer_codepipeline" {
  count = var.create && var.answer_codepipeline ? 1 : 0

  name = "answer-codepipeline"
  role = aws_iam_role.this["migrate"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["codepipeline:PutJobSuccessResult", "codepipeline:PutJobFailureResult"]
      Resource = ["*"]
    }]
  })
}

# Only the event says which deployment it is.
resource "aws_iam_role_policy" "answer_codedeploy" {
  count = var.create && var.answer_codedeploy ? 1 : 0

  name = "answer-codedeploy"
  role = aws_iam_role.this["migrate"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["codedeploy:PutLifecycleEventHookExecutionStatus"]
      Resource = ["arn:${local.partition}:codedeploy:${local.region}:${local.account_id}:deploymentgroup:*"]
    }]
  })
}

# Lambda itself sends the events that it drops, with this role. Of the two actions, the one for the other
# kind of destination matches nothing.
resource "aws_iam_role_policy" "hand_over_failed_events" {
  count = var.create && var.failure_destination != null ? 1 : 0

  name = "hand-over-failed-events"
  role = aws_iam_role.this["migrate"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Effect   = "Allow"
        Action   = ["sqs:SendMessage", "sns:Publish"]
        Resource = var.failure_destination[*].arn
      }],
      var.kms_key_arn == null ? [] : [{
        Effect   = "Allow"
        Action   = ["kms:GenerateDataKey", "kms:Decrypt"]
        Resource = [var.kms_key_arn]
        Condition = {
          StringEquals = {
            "kms:ViaService" = ["sqs.${local.region}.${local.dns_suffix}", "sns.${local.region}.${local.dns_suffix}"]
          }
        }
      }],
    )
  })
}

# Permissions of both functions. A test compares them with template.yaml, which gives the reason of each.
resource "aws_iam_policy" "reach_database" {
  count = var.create ? 1 : 0

  name_prefix = "${var.name}-reach-database-"
  description = "Use the network, find the database and sign in to it."

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Effect = "Allow"
          Action = [
            "ec2:CreateNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:DeleteNetworkInterface",
            "ec2:AssignPrivateIpAddresses",
            "ec2:UnassignPrivateIpAddresses",
          ]
          Resource = ["*"]
        },
        {
          Effect   = "Deny"
          Action   = ["ec2:*"]
          Resource = ["*"]
          Condition = {
            ArnLike = {
              "lambda:SourceFunctionArn" = "arn:${local.partition}:lambda:${local.region}:${local.account_id}:function:*"
            }
          }
        },
      ],
      var.secret_arn == null ? [] : [{
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
        Resource = [var.secret_arn]
      }],
      var.secret_kms_key_arn == null ? [] : [{
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = [var.secret_kms_key_arn]
        Condition = {
          StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.${local.dns_suffix}" }
        }
      }],
      var.secret_arn == null || var.host != null ? [] : [{
        Effect   = "Allow"
        Action   = ["rds:DescribeDBClusters", "rds:DescribeDBInstances"]
        Resource = ["${local.rds}:cluster:*", "${local.rds}:db:*"]
      }],
      var.iam_database_user_arn == null ? [] : [{
        Effect   = "Allow"
        Action   = ["rds-db:connect"]
        Resource = [var.iam_database_user_arn]
      }],
    )
  })

  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "reach_database" {
  for_each = local.functions

  role       = aws_iam_role.this[each.key].name
  policy_arn = aws_iam_policy.reach_database[0].arn
}

locals {
  snapshots = ["${local.rds}:cluster-snapshot:lockgate-*", "${local.rds}:snapshot:lockgate-*"]
}

resource "aws_iam_policy" "back_up" {
  count = var.create && var.backup != "off" ? 1 : 0

  name_prefix = "${var.name}-back-up-"
  description = "Find or create a backup before a change."

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Effect = "Allow"
        Action = [
          "rds:DescribeDBClusters",
          "rds:DescribeDBInstances",
          "rds:DescribeDBClusterEndpoints",
          "rds:DescribeDBProxies",
          "rds:DescribeDBProxyEndpoints",
          "rds:DescribeDBProxyTargets",
          "rds:DescribeBlueGreenDeployments",
        ]
        Resource = ["${local.rds}:*"]
      }],
      [for statement in [
        {
          Effect   = "Allow"
          Action   = ["rds:DescribeDBClusterSnapshots", "rds:DescribeDBSnapshots"]
          Resource = ["${local.rds}:*"]
        },
        {
          Effect   = "Allow"
          Action   = ["rds:CreateDBClusterSnapshot", "rds:CreateDBSnapshot"]
          Resource = concat(["${local.rds}:cluster:*", "${local.rds}:db:*"], local.snapshots)
        },
        {
          Effect   = "Allow"
          Action   = ["rds:AddTagsToResource"]
          Resource = local.snapshots
        },
        {
          Effect    = "Allow"
          Action    = ["rds:DeleteDBClusterSnapshot", "rds:DeleteDBSnapshot"]
          Resource  = local.snapshots
          Condition = { Null = { "aws:ResourceTag/lockgate:run" = "false" } }
        },
      ] : statement if var.backup == "snapshot"],
    )
  })

  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "back_up" {
  for_each = { for name, function in local.functions : name => function if var.backup != "off" }

  role       = aws_iam_role.this[each.key].name
  policy_arn = aws_iam_policy.back_up[0].arn
}

################################################################################
# Network
################################################################################

locals {
  create_security_group = var.create && var.create_security_group
  database_port         = coalesce(var.port, 5432)
}

resource "aws_security_group" "this" {
  count = local.create_security_group ? 1 : 0

  name_prefix = "${var.name}-"
  description = "Functions of Lockgate"
  vpc_id      = var.vpc_id

  tags = merge({ Name = var.name }, var.tags)

  lifecycle {
    create_before_destroy = true

    precondition {
      condition     = var.vpc_id != null
      error_message = "Give vpc_id for the security group, or create_security_group = false and security_group_ids."
    }
  }
}

resource "aws_vpc_security_group_egress_rule" "https" {
  count = local.create_security_group ? 1 : 0

  security_group_id = aws_security_group.this[0].id
  description       = "AWS, by NAT or endpoints"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "database" {
  count = local.create_security_group ? length(var.database_security_group_ids) : 0

  security_group_id            = aws_security_group.this[0].id
  description                  = "The database"
  ip_protocol                  = "tcp"
  from_port                    = local.database_port
  to_port                      = local.database_port
  referenced_security_group_id = var.database_security_group_ids[count.index]

  tags = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  count = local.create_security_group ? length(var.database_security_group_ids) : 0

  security_group_id            = var.database_security_group_ids[count.index]
  description                  = "Functions of Lockgate"
  ip_protocol                  = "tcp"
  from_port                    = local.database_port
  to_port                      = local.database_port
  referenced_security_group_id = aws_security_group.this[0].id

  tags = var.tags
}

################################################################################
# Logs and alarms
################################################################################

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.functions

  name              = "/aws/lambda/${each.value.function_name}"
  retention_in_days = var.cloudwatch_log_group_retention_in_days
  kms_key_id        = var.kms_key_arn

  tags = var.tags
}

locals {
  # A query, because possibly only the secret contains the database's name, which is a dimension.
  counted = { for name, description in {
    RunFailed = "A migration run failed. The function's log has the report."
    LockBusy  = "A run gave up waiting for another one, which holds the migration lock. The report says which one, and until when."
  } : name => description if var.create && var.create_alarms }

  measured = { for name, alarm in {
    Errors = {
      description = "An invocation ended with an error, was killed, or could not start."
      metric      = "Errors"
      statistic   = "Sum"
      threshold   = 0
    }
    Duration = {
      description = "A run took nine tenths of the 15 minutes there are. Split long migrations, or run them as backfills, before one does not finish."
      metric      = "Duration"
      statistic   = "Maximum"
      threshold   = 810000
    }
    EventDropped = {
      description = "Lambda gave up an event after its retries, or could not start it in time. Nobody answers its sender any more; look at the function's log, and at failure_destination."
      metric      = "AsyncEventsDropped"
      statistic   = "Sum"
      threshold   = 0
    }
    FailureNotDelivered = {
      description = "An event that Lambda gave up could not be delivered to failure_destination."
      metric      = "DestinationDeliveryFailures"
      statistic   = "Sum"
      threshold   = 0
    }
  } : name => alarm if var.create && var.create_alarms && (name != "FailureNotDelivered" || var.failure_destination != null) }
}

resource "aws_cloudwatch_metric_alarm" "counted" {
  for_each = local.counted

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions

  metric_query {
    id          = "counted"
    label       = each.key
    expression  = "SELECT SUM(${each.key}) FROM \"Lockgate\" WHERE function_name = '${var.name}'"
    period      = 60
    return_data = true
  }

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "measured" {
  for_each = local.measured

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  dimensions          = { FunctionName = var.name }
  statistic           = each.value.statistic
  period              = 60
  comparison_operator = each.value.threshold == 0 ? "GreaterThanThreshold" : "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions

  tags = var.tags
}

################################################################################
# Dashboard
################################################################################

locals {
  # SEARCH, since the database's name, a dimension, may be known to the secret only.
  search = "SEARCH('{Lockgate,database,function_name,service} function_name=\"${var.name}\" MetricName=\"%s\"', '%s', 300)"

  alarm_widgets = [for widget in [{
    type = "alarm", x = 0, y = 0, width = 24, height = 2
    properties = {
      title = var.name
      alarms = concat(
        [for name in ["RunFailed", "LockBusy"] : try(aws_cloudwatch_metric_alarm.counted[name].arn, null)],
        [for name in ["Errors", "Duration", "EventDropped"] : try(aws_cloudwatch_metric_alarm.measured[name].arn, null)],
      )
    }
  }] : widget if var.create_alarms]
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.create && var.create_dashboard ? 1 : 0

  dashboard_name = var.name

  dashboard_body = jsonencode({
    start = "-P7D"
    widgets = concat(local.alarm_widgets, [
      {
        type = "metric", x = 0, y = 2, width = 12, height = 6
        properties = {
          title = "Runs", region = local.region, stat = "Sum", period = 300
          metrics = [
            [{ expression = format(local.search, "MigrationsApplied", "Sum") }],
            [{ expression = format(local.search, "MigrationsPending", "Maximum") }],
            [{ expression = format(local.search, "RunFailed", "Sum") }],
            [{ expression = format(local.search, "LockBusy", "Sum") }],
          ]
        }
      },
      {
        type = "metric", x = 12, y = 2, width = 12, height = 6
        properties = {
          title = "Times", region = local.region, stat = "Maximum", period = 300
          yAxis = { left = { label = "ms", showUnits = false, min = 0 } }
          metrics = [
            [{ expression = format(local.search, "RunDuration", "Maximum") }],
            [{ expression = format(local.search, "LockWait", "Maximum") }],
          ]
        }
      },
      {
        type = "metric", x = 0, y = 8, width = 12, height = 6
        properties = {
          title   = "Invocations", region = local.region, stat = "Sum", period = 300
          metrics = [for metric in ["Invocations", "Errors", "Throttles", "AsyncEventsDropped"] : ["AWS/Lambda", metric, "FunctionName", var.name]]
        }
      },
      {
        type = "log", x = 12, y = 8, width = 12, height = 6
        properties = {
          title = "Ends of runs", region = local.region, view = "table"
          query = join(" | ", [
            "SOURCE '${aws_cloudwatch_log_group.this["migrate"].name}'",
            "fields @timestamp, message, status, error_code, error, correlation_id",
            "filter message in ['run_finished', 'run_failed', 'run_continued']",
            "sort @timestamp desc",
            "limit 50",
          ])
        }
      },
    ])
  })
}
