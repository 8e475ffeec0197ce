# A new version of the API stands beside the old one, in the group of targets that is idle, until it is healthy; then requests
# move, a tenth first, and back by themselves when an alarm goes off.

locals {
  name = "${var.name}-api"
}

resource "aws_lb_target_group" "green" {
  #checkov:skip=CKV_AWS_378:TLS ends at the balancer; behind it, only the balancer's own security group may call a task's port.
  name                 = "${var.name}-api-green"
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = var.port
  deregistration_delay = 60

  health_check {
    path                = var.health_path
    protocol            = "HTTP"
    matcher             = "200"
    interval            = 15
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 4
  }
}

resource "aws_iam_role" "this" {
  name                 = "${var.name}-release"
  description          = "CodeDeploy, releasing the API"
  permissions_boundary = var.boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "codedeploy.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  #checkov:skip=CKV_AWS_355:What looks at balancers knows no resources, what looks at alarms names none, and a version beside another only its service, which a condition names; every other statement names its own.
  name = "release"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "MoveService"
        Effect = "Allow"
        Action = ["ecs:DeleteTaskSet", "ecs:DescribeServices", "ecs:UpdateServicePrimaryTaskSet"]
        Resource = [
          "arn:aws:ecs:${var.region}:${var.account_id}:service/${var.name}/${local.name}",
          "arn:aws:ecs:${var.region}:${var.account_id}:task-set/${var.name}/${local.name}/*",
        ]
      },
      {
        # This action knows no resources, but which service it is for.
        Sid      = "PutVersionBeside"
        Effect   = "Allow"
        Action   = ["ecs:CreateTaskSet"]
        Resource = ["*"]
        Condition = {
          ArnEquals = {
            "ecs:cluster" = "arn:aws:ecs:${var.region}:${var.account_id}:cluster/${var.name}"
            "ecs:service" = "arn:aws:ecs:${var.region}:${var.account_id}:service/${var.name}/${local.name}"
          }
        }
      },
      {
        # How CodeDeploy asks for alarms is not written down; AWS' own policies for it, also the limited one, name none.
        Sid      = "LookAtAlarms"
        Effect   = "Allow"
        Action   = ["cloudwatch:DescribeAlarms"]
        Resource = ["*"]
      },
      {
        # These actions know no resources.
        Sid    = "Look"
        Effect = "Allow"
        Action = [
          "elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeRules",
          "elasticloadbalancing:DescribeTargetGroups",
        ]
        Resource = ["*"]
      },
      {
        Sid    = "MoveRequests"
        Effect = "Allow"
        Action = ["elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyRule"]
        Resource = [
          "arn:aws:elasticloadbalancing:${var.region}:${var.account_id}:listener/app/${var.name}/*",
          "arn:aws:elasticloadbalancing:${var.region}:${var.account_id}:listener-rule/app/${var.name}/*",
        ]
      },
      {
        Sid       = "HandOnRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = var.role_arns
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ]
  })
}

resource "aws_codedeploy_app" "this" {
  count = var.with_codedeploy ? 1 : 0

  name             = local.name
  compute_platform = "ECS"
}

resource "aws_codedeploy_deployment_group" "this" {
  count = var.with_codedeploy ? 1 : 0

  app_name               = aws_codedeploy_app.this[0].name
  deployment_group_name  = local.name
  service_role_arn       = aws_iam_role.this.arn
  deployment_config_name = var.how

  deployment_style {
    deployment_option = "WITH_TRAFFIC_CONTROL"
    deployment_type   = "BLUE_GREEN"
  }

  blue_green_deployment_config {
    deployment_ready_option {
      action_on_timeout = "CONTINUE_DEPLOYMENT"
    }

    terminate_blue_instances_on_deployment_success {
      action                           = "TERMINATE"
      termination_wait_time_in_minutes = var.keep_minutes
    }
  }

  auto_rollback_configuration {
    enabled = true
    events  = ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"]
  }

  alarm_configuration {
    enabled = true
    alarms  = var.alarm_names
  }

  ecs_service {
    cluster_name = var.service.cluster
    service_name = var.service.name
  }

  load_balancer_info {
    target_group_pair_info {
      prod_traffic_route {
        listener_arns = [var.listener_arn]
      }

      test_traffic_route {
        listener_arns = [var.test_listener_arn]
      }

      target_group {
        name = var.blue_target_group_name
      }

      target_group {
        name = aws_lb_target_group.green.name
      }
    }
  }

  depends_on = [aws_iam_role_policy.this]
}
