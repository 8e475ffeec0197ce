locals {
  login = nonsensitive(var.operator_login != null)
  # Its own rule, as CodeDeploy changes where it leads to.
  moved = var.blue_green ? toset(["api"]) : toset([])
  fixed = { for service, target in var.targets : service => target if !contains(local.moved, service) }
}

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_150:Protection against removal is a switch of the environment, without which none for trying things out could be removed: staging and prod have it.
  #checkov:skip=CKV2_AWS_28:The firewall is a switch of the environment, as it has a price of its own: prod has it.
  #checkov:skip=CKV2_AWS_76:The group of known bad inputs is among the firewall's rules; checkov does not follow the loop that makes them.
  name               = var.name
  load_balancer_type = "application"
  internal           = false
  subnets            = var.subnet_ids
  security_groups    = [var.security_group_id]

  drop_invalid_header_fields = true
  desync_mitigation_mode     = "strictest"
  enable_deletion_protection = !var.removable
  idle_timeout               = 120

  access_logs {
    enabled = true
    bucket  = var.log_bucket
    prefix  = "balancer"
  }
}

resource "aws_lb_listener" "redirect" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"

    redirect {
      port        = "443"
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  # TLS 1.2 with forward secrecy, and 1.3.
  ssl_policy      = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn = var.certificate_arn

  # Who comes by another host, as scanners do by the address, learns nothing.
  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "Not here."
      status_code  = "404"
    }
  }
}

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:TLS ends at the balancer; behind it, only the balancer's own security group may call a task's port.
  for_each = var.targets

  name                 = "${var.name}-${each.key}"
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = each.value.port
  deregistration_delay = 60

  health_check {
    path                = each.value.health_path
    protocol            = "HTTP"
    matcher             = "200"
    interval            = 15
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 4
  }

  stickiness {
    enabled         = each.value.sticky
    type            = "lb_cookie"
    cookie_duration = 86400
  }
}

resource "aws_lb_listener_rule" "fixed" {
  for_each = local.fixed

  listener_arn = aws_lb_listener.https.arn
  priority     = each.value.priority

  dynamic "action" {
    for_each = each.value.operators && local.login ? [1] : []

    content {
      type  = "authenticate-oidc"
      order = 1

      authenticate_oidc {
        issuer                     = var.operator_login.issuer
        authorization_endpoint     = var.operator_login.authorization_endpoint
        token_endpoint             = var.operator_login.token_endpoint
        user_info_endpoint         = var.operator_login.user_info_endpoint
        client_id                  = var.operator_login.client_id
        client_secret              = var.operator_login.client_secret
        on_unauthenticated_request = "authenticate"
        session_timeout            = 28800
      }
    }
  }

  action {
    type             = "forward"
    order            = each.value.operators && local.login ? 2 : 1
    target_group_arn = aws_lb_target_group.this[each.key].arn
  }

  condition {
    host_header {
      values = [each.value.host]
    }
  }

  dynamic "condition" {
    for_each = each.value.operators ? [1] : []

    content {
      source_ip {
        values = var.operator_cidrs
      }
    }
  }
}

resource "aws_lb_listener_rule" "moved" {
  for_each = local.moved

  listener_arn = aws_lb_listener.https.arn
  priority     = var.targets[each.key].priority

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[each.key].arn
  }

  condition {
    host_header {
      values = [var.targets[each.key].host]
    }
  }

  lifecycle {
    ignore_changes = [action]
  }
}

resource "aws_lb_listener" "test" {
  for_each = local.moved

  load_balancer_arn = aws_lb.this.arn
  port              = var.test_port
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = var.green_target_group_arn
  }

  lifecycle {
    ignore_changes = [default_action]
  }
}
