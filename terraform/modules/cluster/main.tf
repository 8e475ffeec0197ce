# A Dagster run is a task of no service, and those cannot use Service Connect: everything finds everything by plain DNS.

resource "aws_cloudwatch_log_group" "insights" {
  #checkov:skip=CKV_AWS_338:How long logs are kept is a setting of the environment: a year in prod.
  count = var.insights ? 1 : 0

  # ECS would make it without an end and without our key.
  name              = "/aws/ecs/containerinsights/${var.name}/performance"
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_cluster" "this" {
  #checkov:skip=CKV_AWS_65:Measuring every task is a switch of the environment, as it is paid for by the metric: staging and prod have it.
  #checkov:skip=CKV_AWS_224:No command is run in a container, so that none is logged.
  name = var.name

  setting {
    name  = "containerInsights"
    value = var.insights ? "enabled" : "disabled"
  }

  depends_on = [aws_cloudwatch_log_group.insights]
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = "${var.name}.internal"
  description = "How the services of ${var.name} find each other"
  vpc         = var.vpc_id
}

resource "aws_service_discovery_service" "this" {
  for_each = var.found_by_name

  name = each.key

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this.id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }

  # ECS tells whether a task is healthy; without this, names lead to one that is not.
  health_check_custom_config {
    failure_threshold = 1
  }
}
