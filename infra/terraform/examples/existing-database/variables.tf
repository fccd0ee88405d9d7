variable "region" {
  description = "Where the database is"
  type        = string
}

variable "package_path" {
  description = "The zip file that `make build` has written"
  type        = string
  default     = "../../../../build/lockgate-arm64.zip"
}

variable "secret_arn" {
  description = "Complete ARN of the secret with the database's credentials"
  type        = string
}

variable "vpc_id" {
  description = "VPC of the database"
  type        = string
}

variable "subnet_ids" {
  description = "Subnets from which the database and Secrets Manager can be reached"
  type        = list(string)
}

variable "database_security_group_id" {
  description = "Security group of the database, which gets a rule for the functions"
  type        = string
}

variable "migrate" {
  description = "Whether an apply migrates; not before it was said what is in the database"
  type        = bool
  default     = true
}

variable "reason" {
  description = "Text for the history of runs, such as the release"
  type        = string
  default     = null
}
