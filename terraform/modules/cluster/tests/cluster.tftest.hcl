mock_provider "aws" {}

variables {
  name           = "crm-assets-dev"
  kms_key_arn    = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  retention_days = 14
  vpc_id         = "vpc-1"
  insights       = true
  found_by_name  = ["code", "mlflow"]
}

run "services_are_found_by_name" {
  command = plan

  assert {
    condition     = output.namespace == "crm-assets-dev.internal" && length(aws_service_discovery_service.this) == 2
    error_message = "A service cannot be found."
  }

  assert {
    condition     = alltrue([for service in aws_service_discovery_service.this : length(service.health_check_custom_config) == 1])
    error_message = "A name leads to a task that is not healthy."
  }

  assert {
    condition     = one(aws_ecs_cluster.this.setting).value == "enabled" && aws_cloudwatch_log_group.insights[0].kms_key_id == var.kms_key_arn
    error_message = "Tasks are not measured, or plainly."
  }
}

run "names_are_of_one_form" {
  command = plan

  variables {
    name = "cluster"
  }

  expect_failures = [var.name]
}
