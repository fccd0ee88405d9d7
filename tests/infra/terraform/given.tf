# Resources that the examples of the documentation assume.

resource "aws_vpc" "shop" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "private" {
  count = 2

  vpc_id     = aws_vpc.shop.id
  cidr_block = cidrsubnet(aws_vpc.shop.cidr_block, 8, count.index)
}

resource "aws_security_group" "database" {
  vpc_id = aws_vpc.shop.id
}

resource "aws_rds_cluster" "shop" {
  engine = "aurora-postgresql"
}

resource "aws_rds_cluster_instance" "writer" {
  cluster_identifier = aws_rds_cluster.shop.id
  engine             = aws_rds_cluster.shop.engine
  instance_class     = "db.serverless"
}
