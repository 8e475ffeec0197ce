mock_provider "aws" {}

variables {
  boundary_arn   = "arn:aws:iam::123456789012:policy/crm-assets-dev-boundary"
  name           = "crm-assets-dev"
  account_id     = "123456789012"
  region         = "us-east-1"
  kms_key_arn    = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  cidr           = "10.20.0.0/16"
  zones          = ["us-east-1a", "us-east-1b"]
  nat_gateways   = 0
  retention_days = 14
  members        = ["balancer", "api", "database"]
  flows          = { balancer-api = { from = "balancer", to = "api", port = 8000 } }
  from_outside   = { https = { to = "balancer", port = 443, cidr = "0.0.0.0/0" } }
  to_outside     = { api = { from = "api", port = 443 } }
}

run "without_a_gateway_tasks_have_public_addresses" {
  command = plan

  assert {
    condition     = output.task_public_ip && length(aws_nat_gateway.this) == 0 && length(aws_route.nat) == 0
    error_message = "Tasks cannot go out, or a gateway is paid for."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : !subnet.map_public_ip_on_launch])
    error_message = "Addresses are given unasked."
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.outside : rule.from_port] == [443]
    error_message = "More comes in from outside than was said."
  }

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "The lake's traffic is paid for."
  }

  assert {
    condition     = length(distinct(concat([for subnet in aws_subnet.public : subnet.cidr_block], [for subnet in aws_subnet.private : subnet.cidr_block]))) == 4
    error_message = "Subnets overlap."
  }
}

run "only_flow_logs_of_this_account_are_written" {
  command = plan

  assert {
    condition     = jsondecode(aws_iam_role.flow_log.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "Another account's flow logs may be written with this role."
  }
}

run "an_account_has_twelve_digits" {
  command = plan

  variables {
    account_id = "12"
  }

  expect_failures = [var.account_id]
}

run "with_one_gateway_tasks_are_private" {
  command = plan

  variables {
    nat_gateways = 1
  }

  assert {
    condition     = !output.task_public_ip && length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 2
    error_message = "Private tasks need a way out in each zone."
  }
}

run "with_a_gateway_in_each_zone_no_zone_depends_on_another" {
  command = plan

  variables {
    nat_gateways = 2
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 2
    error_message = "A zone has no gateway."
  }
}

run "a_flow_is_between_members" {
  command = plan

  variables {
    flows = { odd = { from = "nobody", to = "api", port = 80 } }
  }

  expect_failures = [var.flows]
}

run "one_zone_is_too_few" {
  command = plan

  variables {
    zones        = ["us-east-1a"]
    nat_gateways = 0
  }

  expect_failures = [var.zones]
}

run "three_gateways_do_not_fit_two_zones" {
  command = plan

  variables {
    nat_gateways = 3
  }

  expect_failures = [var.nat_gateways]
}

run "the_range_has_room_for_subnets" {
  command = plan

  variables {
    cidr = "10.20.0.0/24"
  }

  expect_failures = [var.cidr]
}
