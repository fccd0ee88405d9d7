variable "create" {
  description = "Whether to create any resource at all"
  type        = bool
  default     = true
}

variable "name" {
  description = "Name of the function for deploys; the names of all other resources begin with it"
  type        = string
  default     = "lockgate"

  validation {
    # A role's name begins with it, and the prefix of one has 38 characters at most.
    condition     = can(regex("^[a-zA-Z0-9_-]{1,29}$", var.name))
    error_message = "It takes 1 to 29 letters, digits, hyphens and underscores."
  }
}

variable "tags" {
  description = "Tags for all resources"
  type        = map(string)
  default     = {}
}

################################################################################
# Package
################################################################################

variable "package_path" {
  description = "Zip file written by `make build`, with your migrations in it"
  type        = string
  default     = null
}

variable "s3_bucket" {
  description = "Bucket of the zip file, instead of `package_path`"
  type        = string
  default     = null
}

variable "s3_key" {
  description = "Key of the zip file in that bucket"
  type        = string
  default     = null
}

variable "s3_object_version" {
  description = "Version of that object"
  type        = string
  default     = null
}

variable "package_hash" {
  description = "SHA-256 of the zip file in that bucket, in base64; the migration runs when it changes"
  type        = string
  default     = null
}

variable "architecture" {
  description = "Architecture that the package was built for: `arm64` or `x86_64`"
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "It takes arm64 or x86_64."
  }
}

################################################################################
# Database
################################################################################

variable "secret_arn" {
  description = "Complete ARN of the Secrets Manager secret with the credentials: an RDS secret, or a master secret that RDS manages"
  type        = string
  default     = null
}

variable "secret_kms_key_arn" {
  description = "ARN of the customer managed key of that secret"
  type        = string
  default     = null
}

variable "iam_database_user_arn" {
  description = "Sign in as this user with IAM instead of a password (`arn:aws:rds-db:…:dbuser:…/name`); needs `host` and `username`"
  type        = string
  default     = null
}

variable "host" {
  description = "Host to connect to; by default the secret's host, or the one found through the secret's tags"
  type        = string
  default     = null
}

variable "port" {
  description = "Port; by default the secret's, or 5432"
  type        = number
  default     = null
}

variable "dbname" {
  description = "Database; by default the secret's, or postgres"
  type        = string
  default     = null
}

variable "username" {
  description = "User; by default the secret's"
  type        = string
  default     = null
}

################################################################################
# Network
################################################################################

variable "subnet_ids" {
  description = "Subnets that can reach the database and Secrets Manager, in at least two zones"
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "Security groups of the functions, in addition to the one that the module creates"
  type        = list(string)
  default     = []
}

variable "create_security_group" {
  description = "Whether to create a security group that allows traffic to the database and to HTTPS"
  type        = bool
  default     = true
}

variable "vpc_id" {
  description = "VPC of the subnets, for the security group that the module creates"
  type        = string
  default     = null
}

variable "database_security_group_ids" {
  description = "Security groups of the database, which will admit the security group that the module creates"
  type        = list(string)
  default     = []
}

################################################################################
# Migration
################################################################################

variable "migrate" {
  description = "Whether an apply migrates; if false, nothing runs until something invokes the function"
  type        = bool
  default     = true
}

variable "target" {
  description = "Last version to apply; by default all of them"
  type        = string
  default     = null
}

variable "reason" {
  description = "Text for the history of runs"
  type        = string
  default     = null
}

variable "first_run" {
  description = "`allow` lets the first run continue on a database that already has tables, `refuse` does not; else the setting `LOCKGATE_FIRST_RUN` decides"
  type        = string
  default     = null

  validation {
    condition     = var.first_run == null ? true : contains(["allow", "refuse"], var.first_run)
    error_message = "It takes allow or refuse."
  }
}

variable "requested_by" {
  description = "Who requests the run, for the history of runs"
  type        = string
  default     = "terraform"
}

variable "triggers" {
  description = "More values whose change causes a run. The migration waits for the resources they refer to, such as the writer instance"
  type        = map(string)
  default     = {}
}

variable "backup" {
  description = "Backup before a change: `off`, `record` or `snapshot`; by default `record` where RDS can be reached"
  type        = string
  default     = null

  validation {
    condition     = var.backup == null ? true : contains(["off", "record", "snapshot"], var.backup)
    error_message = "It takes off, record or snapshot."
  }
}

variable "environment_variables" {
  description = "More settings, `LOCKGATE_…`, and variables of migrations"
  type        = map(string)
  default     = {}

  validation {
    condition = length(setintersection(keys(var.environment_variables), [
      "LOCKGATE_SECRET_ARN",
      "LOCKGATE_IAM_AUTH",
      "LOCKGATE_HOST",
      "LOCKGATE_PORT",
      "LOCKGATE_DBNAME",
      "LOCKGATE_USERNAME",
      "LOCKGATE_BACKUP",
      "LOCKGATE_MIGRATIONS",
    ])) == 0
    error_message = "The database, backups and the package have variables of their own: secret_arn, iam_database_user_arn, host, port, dbname, username, backup, package_path."
  }
}

################################################################################
# Functions
################################################################################

variable "memory_size" {
  description = "Memory in MB; Lambda gives CPU in proportion to it"
  type        = number
  default     = 512

  validation {
    condition     = var.memory_size >= 128 && var.memory_size <= 10240
    error_message = "It takes a number from 128 to 10240."
  }
}

variable "create_operate" {
  description = "Whether to create the function for operators, for `down`, `repair`, `baseline`, `adopt` and `unlock`"
  type        = bool
  default     = true
}

variable "operate_reserved_concurrent_executions" {
  description = "Reserved concurrency of the function for operators, 2 or more; -1 reserves none"
  type        = number
  default     = -1

  validation {
    condition     = var.operate_reserved_concurrent_executions == -1 || var.operate_reserved_concurrent_executions >= 2
    error_message = "It takes -1, or a number from 2 on, so that an unlock runs beside what it stops."
  }
}

variable "kms_key_arn" {
  description = "ARN of a customer managed key for the functions' variables and logs; its policy must allow CloudWatch Logs"
  type        = string
  default     = null
}

variable "role_permissions_boundary" {
  description = "ARN of the permissions boundary of the functions' roles"
  type        = string
  default     = null
}

variable "answer_codepipeline" {
  description = "Whether the function may answer CodePipeline, which invokes it as an action"
  type        = bool
  default     = false
}

variable "answer_codedeploy" {
  description = "Whether the function may answer CodeDeploy, which invokes it as a lifecycle hook"
  type        = bool
  default     = false
}

################################################################################
# Logs and alarms
################################################################################

variable "cloudwatch_log_group_retention_in_days" {
  description = "Days for which logs are kept"
  type        = number
  default     = 90
}

variable "create_alarms" {
  description = "Whether to create alarms"
  type        = bool
  default     = true
}

variable "alarm_actions" {
  description = "Targets of the alarms, such as ARNs of SNS topics"
  type        = list(string)
  default     = []
}

variable "create_dashboard" {
  description = "Whether to create a CloudWatch dashboard of runs, times and reports"
  type        = bool
  default     = false
}

variable "failure_destination" {
  description = "Where Lambda sends events that it drops after two retries: the `arn` of an SQS queue or an SNS topic. An event contains the signed URL of its answer"
  type        = object({ arn = string })
  default     = null
}
