locals {
  name = "${var.name}-${var.role}"
}

resource "aws_ecs_service" "rolling" {
  #checkov:skip=CKV_AWS_333:A public address is given only where the environment has no NAT gateway, and nothing but the balancer and other tasks may call it there.
  count = var.blue_green ? 0 : 1

  name             = local.name
  cluster          = var.cluster_arn
  task_definition  = var.task_definition_arn
  desired_count    = var.tasks
  launch_type      = var.spot ? null : "FARGATE"
  platform_version = "1.4.0"
  propagate_tags   = "SERVICE"

  # People get into no container: what they would look for there is in the logs.
  enable_execute_command = false

  enable_ecs_managed_tags            = true
  deployment_minimum_healthy_percent = var.alone ? 0 : 100
  deployment_maximum_percent         = var.alone ? 100 : 200
  health_check_grace_period_seconds  = var.balanced ? 180 : null

  dynamic "capacity_provider_strategy" {
    for_each = var.spot ? ["FARGATE_SPOT"] : []

    content {
      capacity_provider = capacity_provider_strategy.value
      weight            = 1
      base              = 0
    }
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "alarms" {
    for_each = length(var.alarm_names) > 0 ? [1] : []

    content {
      alarm_names = var.alarm_names
      enable      = true
      rollback    = true
    }
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = var.public_ip
  }

  dynamic "load_balancer" {
    for_each = var.balanced ? [1] : []

    content {
      target_group_arn = var.target_group_arn
      container_name   = var.role
      container_port   = var.port
    }
  }

  dynamic "service_registries" {
    for_each = var.discovered ? [1] : []

    content {
      registry_arn = var.discovery_arn
    }
  }

  lifecycle {
    # Scaling owns it, and who has stopped a service wants it stopped.
    ignore_changes = [desired_count]
  }
}

resource "aws_ecs_service" "blue_green" {
  #checkov:skip=CKV_AWS_333:A public address is given only where the environment has no NAT gateway, and nothing but the balancer and other tasks may call it there.
  #checkov:skip=CKV_AWS_332:Another version of the platform is a change to try in staging first, and not one that comes by itself.
  count = var.blue_green ? 1 : 0

  name                    = local.name
  cluster                 = var.cluster_arn
  task_definition         = var.task_definition_arn
  desired_count           = var.tasks
  launch_type             = "FARGATE"
  platform_version        = "1.4.0"
  propagate_tags          = "SERVICE"
  enable_ecs_managed_tags = true
  enable_execute_command  = false

  health_check_grace_period_seconds = 180

  deployment_controller {
    type = "CODE_DEPLOY"
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = var.public_ip
  }

  load_balancer {
    target_group_arn = var.target_group_arn
    container_name   = var.role
    container_port   = var.port
  }

  dynamic "service_registries" {
    for_each = var.discovered ? [1] : []

    content {
      registry_arn = var.discovery_arn
    }
  }

  lifecycle {
    # CodeDeploy changes version and target group, and refuses that anybody else does.
    ignore_changes = [desired_count, load_balancer, task_definition]
  }
}
