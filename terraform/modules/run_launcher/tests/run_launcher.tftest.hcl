mock_provider "aws" {}

variables {
  name              = "crm-assets-dev"
  cluster_name      = "crm-assets-dev"
  task_definition   = "crm-assets-dev-run"
  subnet_ids        = ["subnet-1", "subnet-2"]
  security_group_id = "sg-1"
  public_ip         = true
  spot              = true
  runs_at_once      = 2
  alarm_topic_arn   = "arn:aws:sns:us-east-1:123456789012:crm-assets-dev-alarms"
}

run "dagster_is_told_how_to_start_a_run" {
  command = plan

  assert {
    condition     = output.environment["CRM_DAGSTER_RUN_LAUNCHER"] == "ecs" && output.environment["CRM_ECS_SUBNETS"] == "subnet-1,subnet-2" && output.environment["CRM_ECS_PUBLIC_IP"] == "true" && output.environment["CRM_ECS_RUN_SPOT"] == "true"
    error_message = "Dagster is told something else."
  }

  assert {
    condition     = strcontains(aws_cloudwatch_event_rule.lost.event_pattern, "TaskFailedToStart")
    error_message = "Nobody hears of a run that could not start."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.untold.dimensions["RuleName"] == aws_cloudwatch_event_target.lost.rule && aws_cloudwatch_metric_alarm.untold.alarm_actions == toset([var.alarm_topic_arn])
    error_message = "Nobody hears that nobody was told."
  }
}

run "at_least_one_run" {
  command = plan

  variables {
    runs_at_once = 0
  }

  expect_failures = [var.runs_at_once]
}

run "a_run_is_in_a_network" {
  command = plan

  variables {
    subnet_ids = []
  }

  expect_failures = [var.subnet_ids]
}
