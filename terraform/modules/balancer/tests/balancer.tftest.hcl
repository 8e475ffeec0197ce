mock_provider "aws" {}

variables {
  name              = "crm-assets-dev"
  kms_key_arn       = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  retention_days    = 14
  vpc_id            = "vpc-1"
  subnet_ids        = ["subnet-1", "subnet-2"]
  security_group_id = "sg-1"
  certificate_arn   = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b"
  log_bucket        = "crm-assets-dev-logs-123456789012"
  operator_cidrs    = ["203.0.113.0/24"]
  firewall          = false
  targets = {
    webserver = { host = "dagster.example.com", port = 3000, health_path = "/server_info", priority = 10, operators = true, sticky = false }
    api       = { host = "api.example.com", port = 8000, health_path = "/health/live", priority = 30, operators = false, sticky = false }
  }
}

run "tls_alone_and_pages_without_a_login_for_operators_alone" {
  command = plan

  assert {
    condition     = aws_lb_listener.https.ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06" && aws_lb_listener.redirect.default_action[0].type == "redirect"
    error_message = "It answers without TLS, or with an old one."
  }

  assert {
    condition     = length([for condition in aws_lb_listener_rule.fixed["webserver"].condition : condition if length(condition.source_ip) > 0]) == 1
    error_message = "Everybody reaches Dagster."
  }

  assert {
    condition     = length([for condition in aws_lb_listener_rule.fixed["api"].condition : condition if length(condition.source_ip) > 0]) == 0
    error_message = "Users do not reach the API."
  }

  assert {
    condition     = aws_lb.this.drop_invalid_header_fields && aws_lb.this.enable_deletion_protection && length(aws_wafv2_web_acl.this) == 0
    error_message = "A switch is not where it should be."
  }
}

run "operators_sign_in_besides" {
  command = plan

  variables {
    operator_login = {
      issuer                 = "https://id.example.com"
      authorization_endpoint = "https://id.example.com/authorize"
      token_endpoint         = "https://id.example.com/token"
      user_info_endpoint     = "https://id.example.com/me"
      client_id              = "operators"
      client_secret          = "not-a-secret" # pragma: allowlist secret
    }
  }

  assert {
    condition     = aws_lb_listener_rule.fixed["webserver"].action[0].type == "authenticate-oidc" && aws_lb_listener_rule.fixed["api"].action[0].type == "forward"
    error_message = "Who signs in where is mixed up."
  }
}

run "the_firewall_is_a_switch" {
  command = plan

  variables {
    firewall = true
  }

  assert {
    condition     = length(aws_wafv2_web_acl.this[0].rule) == 4
    error_message = "A rule is missing."
  }
}

run "operators_are_not_the_whole_internet" {
  command = plan

  variables {
    operator_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.operator_cidrs]
}

run "two_services_have_two_hosts" {
  command = plan

  variables {
    targets = {
      a = { host = "x.example.com", port = 1, health_path = "/", priority = 1, operators = false, sticky = false }
      b = { host = "x.example.com", port = 2, health_path = "/", priority = 2, operators = false, sticky = false }
    }
  }

  expect_failures = [var.targets]
}
