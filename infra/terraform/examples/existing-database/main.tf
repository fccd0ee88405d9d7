provider "aws" {
  region = var.region
}

module "migrations" {
  source = "../../"

  name         = "shop-migrations"
  package_path = var.package_path
  secret_arn   = var.secret_arn

  vpc_id                      = var.vpc_id
  subnet_ids                  = var.subnet_ids
  database_security_group_ids = [var.database_security_group_id]

  migrate = var.migrate
  reason  = var.reason
}
