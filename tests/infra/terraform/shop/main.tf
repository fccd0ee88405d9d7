# A database with a secret, and Lockgate; applied to a simulated AWS.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

provider "aws" {
  region                      = "eu-west-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = false
}

variable "package_path" {
  type = string
}

variable "credentials" {
  type      = string
  sensitive = true
}

variable "ca_file" {
  type = string
}

variable "reason" {
  type    = string
  default = null
}

resource "aws_vpc" "shop" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "private" {
  vpc_id     = aws_vpc.shop.id
  cidr_block = "10.0.0.0/24"
}

resource "aws_security_group" "database" {
  name   = "database"
  vpc_id = aws_vpc.shop.id
}

resource "aws_secretsmanager_secret" "database" {
  name                    = "shop/database"
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "database" {
  secret_id     = aws_secretsmanager_secret.database.id
  secret_string = var.credentials
}

# Its ARN is known only after its creation.
resource "aws_sqs_queue" "failed" {
  name = "failed"
}

module "migrations" {
  source = "../infra/terraform"

  package_path = var.package_path
  secret_arn   = aws_secretsmanager_secret.database.arn
  reason       = var.reason
  backup       = "off"

  vpc_id                      = aws_vpc.shop.id
  subnet_ids                  = [aws_subnet.private.id]
  database_security_group_ids = [aws_security_group.database.id]

  triggers = { secret = aws_secretsmanager_secret_version.database.id }

  create_dashboard    = true
  failure_destination = { arn = aws_sqs_queue.failed.arn }

  environment_variables = { LOCKGATE_CA_FILE = var.ca_file }
}

# Created only after the migration.
resource "aws_cloudwatch_log_group" "application" {
  name = "/shop/at-${module.migrations.to_version}"
}

output "outcome" {
  value = {
    status        = module.migrations.status
    from_version  = module.migrations.from_version
    to_version    = module.migrations.to_version
    applied_count = module.migrations.applied_count
  }
}
