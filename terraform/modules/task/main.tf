locals {
  volumes = { for folder in var.writable : trim(replace(folder, "/", "-"), "-") => folder }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:How long logs are kept is a setting of the environment: a year in prod.
  name              = "/${var.name}/${var.role}"
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.name}-${var.role}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = var.task_role_arn
  execution_role_arn       = var.execution_role_arn

  # The one before stays to be started: a daemon that is not replaced yet starts runs from it, and one goes back to it.
  skip_destroy = true

  ephemeral_storage {
    size_in_gib = var.disk_gb
  }

  runtime_platform {
    cpu_architecture        = var.architecture
    operating_system_family = "LINUX"
  }

  # A volume on the task's own disk takes its owner from the folder that the image declares as one.
  dynamic "volume" {
    for_each = local.volumes

    content {
      name = volume.key
    }
  }

  # Attributes that AWS fills in by itself stand here too, or every plan would see a change.
  container_definitions = jsonencode([merge(
    {
      name                   = var.role
      image                  = var.image
      essential              = true
      user                   = "10001:10001"
      readonlyRootFilesystem = true
      privileged             = false
      stopTimeout            = var.stop_seconds
      linuxParameters        = { initProcessEnabled = true, capabilities = { add = [], drop = ["ALL"] } }
      environment            = [for key in sort(keys(var.environment)) : { name = key, value = var.environment[key] }]
      secrets                = [for key in sort(keys(var.secrets)) : { name = key, valueFrom = var.secrets[key] }]
      mountPoints            = [for volume, folder in local.volumes : { sourceVolume = volume, containerPath = folder, readOnly = false }]
      portMappings           = var.port == null ? [] : [{ name = var.role, containerPort = var.port, hostPort = var.port, protocol = "tcp" }]
      volumesFrom            = []
      systemControls         = []
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.this.name
          "awslogs-region"        = var.region
          "awslogs-stream-prefix" = var.role
          # A program that logs waits for nobody.
          "mode"            = "non-blocking"
          "max-buffer-size" = "8m"
        }
      }
    },
    var.command == null ? {} : { command = var.command },
    var.health_check == null ? {} : {
      healthCheck = { command = concat(["CMD"], var.health_check), interval = 30, timeout = 10, retries = 3, startPeriod = 120 }
    },
  )])
}
