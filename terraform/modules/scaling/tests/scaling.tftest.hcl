mock_provider "aws" {}

variables {
  name         = "crm-assets-dev"
  cluster_name = "crm-assets-dev"
  role         = "api"
  service_name = "crm-assets-dev-api"
  tasks        = { min = 1, max = 4 }
}

run "tasks_follow_the_processor" {
  command = plan

  assert {
    condition     = aws_appautoscaling_target.this.resource_id == "service/crm-assets-dev/crm-assets-dev-api" && aws_appautoscaling_target.this.max_capacity == 4
    error_message = "Something else is scaled."
  }

  assert {
    condition     = aws_appautoscaling_policy.cpu.target_tracking_scaling_policy_configuration[0].target_value == 60
    error_message = "Another share is aimed at."
  }
}

run "never_none" {
  command = plan

  variables {
    tasks = { min = 0, max = 2 }
  }

  expect_failures = [var.tasks]
}

run "not_fewer_than_the_fewest" {
  command = plan

  variables {
    tasks = { min = 3, max = 2 }
  }

  expect_failures = [var.tasks]
}

run "there_is_room_above" {
  command = plan

  variables {
    cpu_percent = 99
  }

  expect_failures = [var.cpu_percent]
}
