mock_provider "aws" {}

variables {
  name               = "crm-assets-dev"
  role               = "api"
  region             = "us-east-1"
  kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  retention_days     = 14
  image              = "example.com/crm-assets@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  cpu                = 256
  memory             = 1024
  port               = 8000
  task_role_arn      = "arn:aws:iam::123456789012:role/crm-assets-dev-api"
  execution_role_arn = "arn:aws:iam::123456789012:role/crm-assets-dev-api-start"
}

run "no_root_and_nothing_to_write_to_but_its_own_folders" {
  command = plan

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].user == "10001:10001"
    error_message = "The container may write to its image, or is root."
  }

  assert {
    condition     = [for mount in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].mountPoints : mount.containerPath] == ["/tmp"]
    error_message = "It may write elsewhere than was said."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    error_message = "It keeps what Linux lets root do."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.this.retention_in_days == 14
    error_message = "Its log is kept for ever, or plain."
  }

  assert {
    condition     = aws_ecs_task_definition.this.skip_destroy
    error_message = "A new version takes away the one that something may still start."
  }
}

run "an_image_is_named_by_its_digest" {
  command = plan

  variables {
    image = "example.com/crm-assets:latest"
  }

  expect_failures = [var.image]
}

run "a_secret_is_no_variable" {
  command = plan

  variables {
    environment = { POSTGRES_PASSWORD = "x" }
  }

  expect_failures = [var.environment]
}

run "memory_goes_with_the_processor" {
  command = plan

  variables {
    memory = 512
    cpu    = 1024
  }

  expect_failures = [var.memory]
}

run "a_quarter_of_a_processor_has_no_memory_between_one_and_two_gb" {
  command = plan

  variables {
    memory = 1536
    cpu    = 256
  }

  expect_failures = [var.memory]
}

run "eight_processors_have_sixty_gb_at_most" {
  command = plan

  variables {
    memory = 65536
    cpu    = 8192
  }

  expect_failures = [var.memory]
}

run "the_largest_task" {
  command = plan

  variables {
    memory = 122880
    cpu    = 16384
  }

  assert {
    condition     = aws_ecs_task_definition.this.memory == "122880"
    error_message = "The largest that Fargate has is refused."
  }
}

run "processors_are_those_of_fargate" {
  command = plan

  variables {
    cpu = 300
  }

  expect_failures = [var.cpu]
}

run "it_ends_in_two_minutes" {
  command = plan

  variables {
    stop_seconds = 300
  }

  expect_failures = [var.stop_seconds]
}
