################################################################################
# Migration
################################################################################

output "status" {
  description = "How the last run ended, `applied` or `up_to_date`"
  value       = try(local.report.status, null)
}

output "from_version" {
  description = "Version of the schema before that run; null on a new database"
  value       = try(local.report.from_version, null)
}

output "to_version" {
  description = "Version of the schema after it"
  value       = try(local.report.to_version, null)
}

output "applied_count" {
  description = "How many migrations it applied"
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
  description = "ARN of the function that deploys"
  value       = try(aws_lambda_function.this["migrate"].arn, null)
}

output "function_name" {
  description = "Its name, for `lockgate invoke`"
  value       = try(aws_lambda_function.this["migrate"].function_name, null)
}

output "role_arn" {
  description = "ARN of its role"
  value       = try(aws_iam_role.this["migrate"].arn, null)
}

output "role_name" {
  description = "Name of its role"
  value       = try(aws_iam_role.this["migrate"].name, null)
}

output "log_group_name" {
  description = "Where its reports are logged"
  value       = try(aws_cloudwatch_log_group.this["migrate"].name, null)
}

output "operate_function_arn" {
  description = "ARN of the function for operators"
  value       = try(aws_lambda_function.this["operate"].arn, null)
}

output "operate_function_name" {
  description = "Its name"
  value       = try(aws_lambda_function.this["operate"].function_name, null)
}

output "operate_log_group_name" {
  description = "Where its reports are logged"
  value       = try(aws_cloudwatch_log_group.this["operate"].name, null)
}

output "security_group_id" {
  description = "The functions' security group, if one was made"
  value       = try(aws_security_group.this[0].id, null)
}
