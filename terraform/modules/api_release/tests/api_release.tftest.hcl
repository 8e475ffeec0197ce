mock_provider "aws" {}

variables {
  boundary_arn           = "arn:aws:iam::123456789012:policy/crm-assets-dev-boundary"
  name                   = "crm-assets-prod"
  account_id             = "123456789012"
  region                 = "us-east-1"
  vpc_id                 = "vpc-1"
  port                   = 8000
  health_path            = "/health/live"
  service                = { cluster = "crm-assets-prod", name = "crm-assets-prod-api" }
  blue_target_group_name = "crm-assets-prod-api"
  listener_arn           = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/crm-assets-prod/1/2"
  test_listener_arn      = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/crm-assets-prod/1/3"
  role_arns              = ["arn:aws:iam::123456789012:role/crm-assets-prod-api"]
  alarm_names            = ["crm-assets-prod-api-errors"]
}

run "a_tenth_first_and_back_on_an_alarm" {
  command = plan

  assert {
    condition     = aws_codedeploy_deployment_group.this[0].deployment_config_name == "CodeDeployDefault.ECSCanary10Percent5Minutes" && contains(aws_codedeploy_deployment_group.this[0].auto_rollback_configuration[0].events, "DEPLOYMENT_STOP_ON_ALARM")
    error_message = "A broken version takes all requests."
  }

  assert {
    condition     = aws_lb_target_group.green.name == "crm-assets-prod-api-green"
    error_message = "There is no second group."
  }

  assert {
    condition     = alltrue(flatten([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : [for action in statement.Action : !strcontains(action, "*")]]))
    error_message = "CodeDeploy may do what is named by a star."
  }

  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : [statement.Resource, statement.Condition.ArnEquals["ecs:service"]]
      if contains(statement.Action, "ecs:CreateTaskSet")
    ] == [[["*"], "arn:aws:ecs:us-east-1:123456789012:service/crm-assets-prod/crm-assets-prod-api"]]
    error_message = "CodeDeploy may not put a version beside the old one, which knows no resources, or may do so elsewhere."
  }

  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if contains(statement.Action, "cloudwatch:DescribeAlarms")] == [["*"]]
    error_message = "CodeDeploy is told of no alarm, and takes nothing back."
  }
}

run "it_can_be_left_out" {
  command = plan

  variables {
    with_codedeploy = false
  }

  assert {
    condition     = length(aws_codedeploy_app.this) == 0 && length(aws_codedeploy_deployment_group.this) == 0
    error_message = "It is not left out."
  }
}

run "how_is_one_of_codedeploys" {
  command = plan

  variables {
    how = "AllAtOnce"
  }

  expect_failures = [var.how]
}

run "the_old_version_stays_a_while" {
  command = plan

  variables {
    keep_minutes = 0
  }

  expect_failures = [var.keep_minutes]
}
