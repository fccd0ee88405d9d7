# What the module makes of its variables, without AWS: terraform test.

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
      arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/lambda/lockgate"
    }
  }

  mock_resource "aws_lambda_invocation" {
    defaults = {
      result = "{\"status\":\"applied\",\"from_version\":null,\"to_version\":\"2\",\"applied\":[{},{}],\"run_id\":\"9f2c41d0\"}"
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

run "everything_is_made" {
  assert {
    condition     = toset(keys(aws_lambda_function.this)) == toset(["migrate", "operate"])
    error_message = "There is a function that deploys and one for operators."
  }

  assert {
    condition     = [for function in aws_lambda_function.this : function.function_name] == ["lockgate", "lockgate-operate"]
    error_message = "The functions have the names that were given."
  }

  assert {
    condition     = aws_lambda_function.this["migrate"].environment[0].variables == tomap({ LOCKGATE_SECRET_ARN = var.secret_arn })
    error_message = "The function has the settings that were given, and no empty ones."
  }

  assert {
    condition     = aws_lambda_invocation.this[0].lifecycle_scope == "CRUD" && aws_lambda_invocation.this[0].input == "{\"action\":\"up\",\"requested_by\":\"terraform\"}"
    error_message = "The function is asked to go up."
  }

  assert {
    condition     = aws_lambda_invocation.this[0].triggers.package == var.package_hash
    error_message = "The migration runs when the package changes."
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.counted) == 2 && length(aws_cloudwatch_metric_alarm.measured) == 3
    error_message = "There are five alarms."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.database[0].from_port == 5432 && aws_vpc_security_group_ingress_rule.database[0].security_group_id == "sg-00000001"
    error_message = "The database lets the functions in."
  }

  assert {
    condition     = [output.status, output.from_version, output.to_version, output.applied_count, output.run_id] == ["applied", null, "2", 2, "9f2c41d0"]
    error_message = "The outcome is told."
  }
}

run "nothing_is_made" {
  command = plan

  variables {
    create = false
  }

  assert {
    condition     = length(aws_lambda_function.this) + length(aws_iam_role.this) + length(aws_security_group.this) + length(aws_lambda_invocation.this) == 0
    error_message = "Nothing is made."
  }

  assert {
    condition     = output.function_arn == null && output.status == null
    error_message = "Outputs are null where nothing was made."
  }
}
