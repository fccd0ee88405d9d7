# What the module makes of its variables, without AWS: terraform init, then terraform test.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = {
      partition  = "aws"
      dns_suffix = "amazonaws.com"
    }
  }

  mock_data "aws_region" {
    defaults = {
      id = "eu-west-1"
    }
  }

  mock_data "aws_caller_identity" {
    defaults = {
      account_id = "111122223333"
    }
  }

  mock_resource "aws_iam_role" {
    defaults = {
      arn = "arn:aws:iam::111122223333:role/lockgate"
    }
  }

  mock_resource "aws_iam_policy" {
    defaults = {
      arn = "arn:aws:iam::111122223333:policy/lockgate"
    }
  }

  mock_resource "aws_lambda_function" {
    defaults = {
      arn = "arn:aws:lambda:eu-west-1:111122223333:function:lockgate"
    }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = {
      arn = "arn:aws:logs:eu-west-1:111122223333:log-group:lockgate"
    }
  }

  mock_resource "aws_cloudwatch_metric_alarm" {
    defaults = {
      arn = "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:lockgate"
    }
  }

  mock_resource "aws_security_group" {
    defaults = {
      id = "sg-00000009"
    }
  }

  mock_resource "aws_lambda_invocation" {
    defaults = {
      result = "{\"status\":\"applied\",\"from_version\":\"1\",\"to_version\":\"3\",\"applied\":[{},{}],\"run_id\":\"9f2c41d0\"}"
    }
  }
}

variables {
  s3_bucket                   = "packages"
  s3_key                      = "lockgate.zip"
  package_hash                = "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="
  secret_arn                  = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/database-AbCdEf"
  vpc_id                      = "vpc-00000001"
  subnet_ids                  = ["subnet-00000001", "subnet-00000002"]
  database_security_group_ids = ["sg-00000001"]
}

run "defaults_make_both_functions_and_migrate" {
  assert {
    condition     = toset([for function in aws_lambda_function.this : function.function_name]) == toset(["lockgate", "lockgate-operate"])
    error_message = "There is a function that deploys and one for operators."
  }

  assert {
    condition = alltrue([for function in aws_lambda_function.this : alltrue([
      function.s3_bucket == "packages",
      function.s3_key == "lockgate.zip",
      function.source_code_hash == var.package_hash,
      function.handler == "lockgate.entry.lambda_handler",
      function.runtime == "python3.13",
      tolist(function.architectures) == tolist(["arm64"]),
      function.timeout == 900,
      function.logging_config[0].log_format == "JSON",
      function.vpc_config[0].subnet_ids == toset(var.subnet_ids),
      function.vpc_config[0].security_group_ids == toset(["sg-00000009"]),
    ])])
    error_message = "Both functions come from the package, in the subnets and the new group."
  }

  assert {
    condition     = aws_lambda_function.this["migrate"].environment[0].variables == tomap({ LOCKGATE_SECRET_ARN = var.secret_arn, LOCKGATE_OPERATE = aws_lambda_function.this["operate"].function_name })
    error_message = "The function has the settings that were given, and no empty ones."
  }

  assert {
    condition     = aws_lambda_function.this["operate"].environment[0].variables["LOCKGATE_ALLOWED_ACTIONS"] == "status,plan,history,down,repair,baseline,adopt,unlock"
    error_message = "The other one does what a deploy never does."
  }

  assert {
    condition     = [for name in ["migrate", "operate"] : aws_lambda_function_event_invoke_config.this[name].maximum_retry_attempts] == [2, 0]
    error_message = "A killed deploy is repeated; what an operator asks for is not."
  }

  assert {
    condition     = jsondecode(aws_lambda_invocation.this[0].input) == { action = "up", requested_by = "terraform" }
    error_message = "The function is asked to go up."
  }

  assert {
    condition     = aws_lambda_invocation.this[0].lifecycle_scope == "CRUD"
    error_message = "The function is told what Terraform does."
  }

  assert {
    condition = aws_lambda_invocation.this[0].triggers == tomap({
      package  = var.package_hash
      command  = aws_lambda_invocation.this[0].input
      database = jsonencode([var.secret_arn, null, null, null, null, null])
    })
    error_message = "The migration runs when the package, the command or the database changes."
  }

  assert {
    condition = [for rule in [aws_vpc_security_group_ingress_rule.database[0], aws_vpc_security_group_egress_rule.database[0]] : [
      rule.security_group_id, rule.referenced_security_group_id, rule.from_port, rule.to_port
    ]] == [["sg-00000001", "sg-00000009", 5432, 5432], ["sg-00000009", "sg-00000001", 5432, 5432]]
    error_message = "The database lets the functions in, and they are let out to it."
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.counted) + length(aws_cloudwatch_metric_alarm.measured) == 5
    error_message = "There are five alarms."
  }

  assert {
    condition     = jsonencode([output.status, output.from_version, output.to_version, output.applied_count, output.run_id]) == jsonencode(["applied", "1", "3", 2, "9f2c41d0"])
    error_message = "The outcome is told."
  }

  assert {
    condition     = [output.function_name, output.operate_function_name, output.security_group_id] == ["lockgate", "lockgate-operate", "sg-00000009"]
    error_message = "What was made is told."
  }
}

run "choices_are_handed_on" {
  command = plan

  variables {
    name                                   = "shop"
    host                                   = "db.example.com"
    port                                   = 6432
    dbname                                 = "shop"
    username                               = "me"
    target                                 = "20261122093000"
    reason                                 = "release 8"
    first_run                              = "allow"
    requested_by                           = null
    triggers                               = { writer = "shop-1", package = "not this one" }
    environment_variables                  = { LOCKGATE_ATOMICITY = "run", APP_ROLE = "shop" }
    security_group_ids                     = ["sg-00000002"]
    create_security_group                  = false
    architecture                           = "x86_64"
    memory_size                            = 1024
    operate_reserved_concurrent_executions = 2
    kms_key_arn                            = "arn:aws:kms:eu-west-1:111122223333:key/1"
    role_permissions_boundary              = "arn:aws:iam::111122223333:policy/boundary"
    answer_codepipeline                    = true
    answer_codedeploy                      = true
    cloudwatch_log_group_retention_in_days = 7
    alarm_actions                          = ["arn:aws:sns:eu-west-1:111122223333:alarms"]
    failure_destination                    = { arn = "arn:aws:sqs:eu-west-1:111122223333:failed" }
    tags                                   = { Team = "data" }
  }

  assert {
    condition = aws_lambda_function.this["migrate"].environment[0].variables == tomap({
      LOCKGATE_SECRET_ARN = var.secret_arn
      LOCKGATE_HOST       = "db.example.com"
      LOCKGATE_PORT       = "6432"
      LOCKGATE_DBNAME     = "shop"
      LOCKGATE_USERNAME   = "me"
      LOCKGATE_OPERATE    = aws_lambda_function.this["operate"].function_name
      LOCKGATE_ATOMICITY  = "run"
      APP_ROLE            = "shop"
    })
    error_message = "Settings and variables reach the function."
  }

  assert {
    condition     = jsondecode(aws_lambda_invocation.this[0].input) == { action = "up", target = "20261122093000", reason = "release 8", first_run = "allow" }
    error_message = "The command has what was given."
  }

  assert {
    condition     = [for key in ["writer", "package"] : aws_lambda_invocation.this[0].triggers[key]] == ["shop-1", var.package_hash]
    error_message = "Further triggers are added, and take no place of the module's own."
  }

  assert {
    condition     = length(aws_security_group.this) + length(aws_vpc_security_group_ingress_rule.database) + length(aws_vpc_security_group_egress_rule.https) == 0
    error_message = "No group is made, and no rule of one."
  }

  assert {
    condition = alltrue([for function in aws_lambda_function.this : alltrue([
      function.vpc_config[0].security_group_ids == toset(["sg-00000002"]),
      tolist(function.architectures) == tolist(["x86_64"]),
      function.memory_size == 1024,
      function.kms_key_arn == var.kms_key_arn,
      function.tags == tomap({ Team = "data" }),
    ])])
    error_message = "Both functions are as they were asked for."
  }

  assert {
    condition     = [for name in ["migrate", "operate"] : aws_lambda_function.this[name].reserved_concurrent_executions] == [-1, 2]
    error_message = "The concurrency is reserved for operators."
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.this : role.permissions_boundary == var.role_permissions_boundary])
    error_message = "Roles keep to their boundary."
  }

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days == 7 && group.kms_key_id == var.kms_key_arn])
    error_message = "Logs are kept and encrypted as they were asked for."
  }

  assert {
    condition     = alltrue([for alarm in merge(aws_cloudwatch_metric_alarm.counted, aws_cloudwatch_metric_alarm.measured) : alarm.alarm_actions == toset(var.alarm_actions)])
    error_message = "Alarms go where they are told."
  }

  assert {
    condition     = length(aws_iam_role_policy.answer_codepipeline) + length(aws_iam_role_policy.answer_codedeploy) == 2
    error_message = "Pipelines may be answered."
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.this["migrate"].destination_config[0].on_failure[0].destination == var.failure_destination.arn
    error_message = "Dropped events go where they are told."
  }

  assert {
    condition     = length(aws_lambda_function_event_invoke_config.this["operate"].destination_config) == 0
    error_message = "Events of Operate are not repeated, and not kept."
  }
}

run "parts_may_be_left_out" {
  command = plan

  variables {
    migrate        = false
    create_operate = false
    create_alarms  = false
    backup         = "off"

    # Without alarms the dashboard has no place for them.
    create_dashboard = true
  }

  assert {
    condition     = keys(aws_lambda_function.this) == ["migrate"]
    error_message = "There is one function."
  }

  assert {
    condition     = length(aws_lambda_invocation.this) + length(aws_iam_policy.back_up) + length(aws_cloudwatch_metric_alarm.counted) + length(aws_cloudwatch_metric_alarm.measured) == 0
    error_message = "Nothing runs, nothing is backed up, nothing alarms."
  }

  assert {
    condition     = [for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : widget.type] == ["metric", "metric", "metric", "log"]
    error_message = "The dashboard shows no alarms."
  }

  assert {
    condition     = output.status == null && output.operate_function_arn == null
    error_message = "What was not made has no output."
  }
}

run "iam_signs_in_without_a_secret" {
  command = plan

  variables {
    secret_arn            = null
    iam_database_user_arn = "arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/lockgate"
    host                  = "db.example.com"
    username              = "lockgate"
  }

  assert {
    condition = aws_lambda_function.this["migrate"].environment[0].variables == tomap({
      LOCKGATE_IAM_AUTH = "true"
      LOCKGATE_HOST     = "db.example.com"
      LOCKGATE_USERNAME = "lockgate"
      LOCKGATE_OPERATE  = aws_lambda_function.this["operate"].function_name
    })
    error_message = "The address is in the settings, and no secret is."
  }
}

run "nothing_is_made_without_create" {
  command = plan

  variables {
    create = false
  }

  assert {
    condition = sum([
      length(aws_lambda_function.this),
      length(aws_lambda_function_event_invoke_config.this),
      length(aws_lambda_invocation.this),
      length(aws_iam_role.this),
      length(aws_iam_role_policy.write_log),
      length(aws_iam_role_policy.go_on),
      length(aws_iam_role_policy.hand_over_failed_events),
      length(aws_cloudwatch_dashboard.this),
      length(aws_iam_policy.reach_database),
      length(aws_iam_policy.back_up),
      length(aws_iam_role_policy_attachment.reach_database),
      length(aws_iam_role_policy_attachment.back_up),
      length(aws_security_group.this),
      length(aws_vpc_security_group_egress_rule.https),
      length(aws_vpc_security_group_egress_rule.database),
      length(aws_vpc_security_group_ingress_rule.database),
      length(aws_cloudwatch_log_group.this),
      length(aws_cloudwatch_metric_alarm.counted),
      length(aws_cloudwatch_metric_alarm.measured),
    ]) == 0
    error_message = "Nothing is made."
  }

  assert {
    condition     = output.function_arn == null && output.security_group_id == null
    error_message = "Outputs are null where nothing was made."
  }
}

run "a_package_is_needed" {
  command = plan

  variables {
    s3_bucket = null
  }

  expect_failures = [aws_lambda_function.this]
}

run "one_package_is_enough" {
  command = plan

  variables {
    package_path = "main.tf"
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_package_must_be_there" {
  command = plan

  variables {
    s3_bucket    = null
    s3_key       = null
    package_path = "nowhere/lockgate.zip"
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_package_in_a_bucket_needs_its_hash" {
  command = plan

  variables {
    package_hash = null
  }

  expect_failures = [aws_lambda_function.this]
}

run "credentials_are_needed" {
  command = plan

  variables {
    secret_arn            = null
    iam_database_user_arn = "arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/lockgate"
  }

  expect_failures = [aws_lambda_function.this]
}

run "subnets_are_needed" {
  command = plan

  variables {
    subnet_ids = []
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_security_group_needs_its_vpc" {
  command = plan

  variables {
    vpc_id = null
  }

  expect_failures = [aws_security_group.this]
}

run "values_that_cannot_be_are_refused" {
  command = plan

  variables {
    name                                   = "a name with spaces"
    architecture                           = "mips"
    backup                                 = "sometimes"
    first_run                              = "maybe"
    memory_size                            = 64
    operate_reserved_concurrent_executions = 1
    environment_variables                  = { LOCKGATE_HOST = "db" }
  }

  expect_failures = [
    var.name,
    var.architecture,
    var.backup,
    var.first_run,
    var.memory_size,
    var.operate_reserved_concurrent_executions,
    var.environment_variables,
  ]
}

run "a_name_leaves_room_for_those_of_its_roles" {
  command = plan

  variables {
    name = "a-name-of-thirty-characters-xx"
  }

  expect_failures = [var.name]
}
