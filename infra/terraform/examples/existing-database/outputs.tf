output "status" {
  description = "How the last run ended"
  value       = module.migrations.status
}

output "to_version" {
  description = "Version of the schema"
  value       = module.migrations.to_version
}

output "operate_function_name" {
  description = "The function for operators"
  value       = module.migrations.operate_function_name
}
