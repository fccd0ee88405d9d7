output "status" {
  description = "How the last run ended"
  value       = module.migrations.status
}

output "to_version" {
  description = "Version of the schema"
  value       = module.migrations.to_version
}

output "function_name" {
  description = "The function that deploys"
  value       = module.migrations.function_name
}

output "operate_function_name" {
  description = "The function for operators"
  value       = module.migrations.operate_function_name
}
