mock_provider "aws" {}

variables {
  name                = "crm-assets-dev"
  role                = "api"
  cluster_arn         = "arn:aws:ecs:us-east-1:123456789012:cluster/crm-assets-dev"
  task_definition_arn = "arn:aws:ecs:us-east-1:123456789012:task-definition/crm-assets-dev-api:1"
  subnet_ids          = ["subnet-1"]
  security_group_id   = "sg-1"
  port                = 8000
  balanced            = true
  target_group_arn    = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/crm-assets-dev-api/0a1b"
}

run "a_broken_version_is_taken_back" {
  command = plan

  assert {
    condition     = aws_ecs_service.rolling[0].deployment_circuit_breaker[0].enable && aws_ecs_service.rolling[0].deployment_circuit_breaker[0].rollback
    error_message = "A broken version stays."
  }

  assert {
    condition     = aws_ecs_service.rolling[0].deployment_minimum_healthy_percent == 100 && !aws_ecs_service.rolling[0].enable_execute_command
    error_message = "A release leaves nobody to answer, or people may enter."
  }
}

run "what_must_be_alone_ends_before_it_starts" {
  command = plan

  variables {
    alone = true
  }

  assert {
    condition     = aws_ecs_service.rolling[0].deployment_maximum_percent == 100 && aws_ecs_service.rolling[0].deployment_minimum_healthy_percent == 0
    error_message = "There may be two."
  }
}

run "spot_is_a_switch" {
  command = plan

  variables {
    spot = true
  }

  assert {
    condition     = one(aws_ecs_service.rolling[0].capacity_provider_strategy).capacity_provider == "FARGATE_SPOT"
    error_message = "It is not on Spot."
  }
}

run "blue_and_green_are_codedeploys" {
  command = plan

  variables {
    blue_green = true
  }

  assert {
    condition     = length(aws_ecs_service.rolling) == 0 && aws_ecs_service.blue_green[0].deployment_controller[0].type == "CODE_DEPLOY"
    error_message = "ECS rolls it out by itself."
  }
}

run "spot_and_blue_green_do_not_go_together" {
  command = plan

  variables {
    blue_green = true
    spot       = true
  }

  expect_failures = [var.blue_green]
}

run "not_any_number_of_tasks" {
  command = plan

  variables {
    tasks = 1000
  }

  expect_failures = [var.tasks]
}
