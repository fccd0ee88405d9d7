################################################################################
# Migration
################################################################################

output "status" {
  description = "Result of the last run, `applied` or `up_to_date`"
  value       = try(local.report.status, null)
}

output "from_version" {
  description = "Version of the schema before that run; null on a new database"
  value       = try(local.report.from_version, null)
}

output "to_version" {
  description = "Version of the schema after that run"
  value       = try(local.report.to_version, null)
}

output "applied_count" {
  description = "Number of migrations that the run applied"
  value       = try(length(local.report.applied), null)
}

output "run_id" {
  description = "The run's id in the history and in the log"
  value       = try(local.report.run_id, null)
}

################################################################################
# Functions
################################################################################

output "function_arn" {
  description = "ARN of the function for deploys"
  value       = try(aws_lambda_function.this["migrate"].arn, null)
}

output "function_name" {
  description = "Name of the function for deploys, for `lockgate invoke`"
  value       = try(aws_lambda_function.this["migrate"].function_name, null)
}

output "role_arn" {
  description = "ARN of the role of the function for deploys"
  value       = try(aws_iam_role.this["migrate"].arn, null)
}

output "role_name" {
  description = "Name of the role of the function for deploys"
  value       = try(aws_iam_role.this["migrate"].name, null)
}

output "log_group_name" {
  description = "Log group of the function for deploys, with its reports"
  value       = try(aws_cloudwatch_log_group.this["migrate"].name, null)
}

output "operate_function_arn" {
  description = "ARN of the function for operators"
  value       = try(aws_lambda_function.this["operate"].arn, null)
}

output "operate_function_name" {
  description = "Name of the function for operators"
  value       = try(aws_lambda_function.this["operate"].function_name, null)
}

output "operate_log_group_name" {
  description = "Log group of the function for operators, with its reports"
  value       = try(aws_cloudwatch_log_group.this["operate"].name, null)
}

output "security_group_id" {
  description = "The functions' security group, if the module created one"
  value       = try(aws_security_group.this[0].id, null)
}
