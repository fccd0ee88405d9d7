provider "aws" {
  region = local.region
}

data "aws_availability_zones" "available" {
  state = "available"
}

locals {
  name   = "lockgate-complete"
  region = "eu-west-1"
  zones  = slice(data.aws_availability_zones.available.names, 0, 2)

  tags = {
    Example = local.name
  }
}

################################################################################
# Lockgate
################################################################################

module "migrations" {
  source = "../../"

  name         = local.name
  package_path = var.package_path

  secret_arn = aws_rds_cluster.this.master_user_secret[0].secret_arn
  host       = aws_rds_cluster.this.endpoint
  port       = aws_rds_cluster.this.port
  dbname     = aws_rds_cluster.this.database_name

  vpc_id                      = aws_vpc.this.id
  subnet_ids                  = aws_subnet.private[*].id
  database_security_group_ids = [aws_security_group.database.id]

  # The cluster's endpoint answers only when it has a writer, and AWS cannot be reached without the
  # endpoints. The migration waits for everything that is named here.
  triggers = {
    writer    = aws_rds_cluster_instance.writer.id
    endpoints = join(",", [for endpoint in aws_vpc_endpoint.this : endpoint.id])
    https     = aws_vpc_security_group_ingress_rule.endpoints.id
  }

  environment_variables = {
    LOCKGATE_LOCK_TIMEOUT = "3s"
  }

  alarm_actions = [aws_sns_topic.alarms.arn]

  tags = local.tags
}

# In place of an application: it is deployed after the migrations.
resource "aws_ssm_parameter" "schema_version" {
  name  = "/${local.name}/schema-version"
  type  = "String"
  value = module.migrations.to_version

  tags = local.tags
}

resource "aws_sns_topic" "alarms" {
  name = "${local.name}-alarms"

  tags = local.tags
}

################################################################################
# Database
################################################################################

resource "aws_rds_cluster" "this" {
  cluster_identifier          = local.name
  engine                      = "aurora-postgresql"
  engine_mode                 = "provisioned"
  engine_version              = "16.8"
  database_name               = "shop"
  master_username             = "postgres"
  manage_master_user_password = true
  db_subnet_group_name        = aws_db_subnet_group.this.name
  vpc_security_group_ids      = [aws_security_group.database.id]
  storage_encrypted           = true
  skip_final_snapshot         = true

  serverlessv2_scaling_configuration {
    min_capacity = 0
    max_capacity = 2
  }

  tags = local.tags
}

resource "aws_rds_cluster_instance" "writer" {
  identifier         = "${local.name}-writer"
  cluster_identifier = aws_rds_cluster.this.id
  engine             = aws_rds_cluster.this.engine
  engine_version     = aws_rds_cluster.this.engine_version
  instance_class     = "db.serverless"

  tags = local.tags
}

resource "aws_db_subnet_group" "this" {
  name       = local.name
  subnet_ids = aws_subnet.private[*].id

  tags = local.tags
}

resource "aws_security_group" "database" {
  name        = "${local.name}-database"
  description = "The database"
  vpc_id      = aws_vpc.this.id

  tags = local.tags
}

################################################################################
# Network, without NAT
################################################################################

resource "aws_vpc" "this" {
  cidr_block           = "10.0.0.0/16"
  enable_dns_hostnames = true

  tags = merge({ Name = local.name }, local.tags)
}

resource "aws_subnet" "private" {
  count = 2

  vpc_id            = aws_vpc.this.id
  cidr_block        = cidrsubnet(aws_vpc.this.cidr_block, 8, count.index)
  availability_zone = local.zones[count.index]

  tags = merge({ Name = "${local.name}-${count.index}" }, local.tags)
}

# For the secret, and for the backup before a change.
resource "aws_vpc_endpoint" "this" {
  for_each = toset(["secretsmanager", "rds"])

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = aws_subnet.private[*].id
  security_group_ids  = [aws_security_group.endpoints.id]
  private_dns_enabled = true

  tags = merge({ Name = "${local.name}-${each.key}" }, local.tags)
}

resource "aws_security_group" "endpoints" {
  name        = "${local.name}-endpoints"
  description = "Interface endpoints"
  vpc_id      = aws_vpc.this.id

  tags = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id = aws_security_group.endpoints.id
  description       = "The VPC"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = aws_vpc.this.cidr_block

  tags = local.tags
}
