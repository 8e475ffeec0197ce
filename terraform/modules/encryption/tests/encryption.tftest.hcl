mock_provider "aws" {}

variables {
  name       = "crm-assets-dev"
  account_id = "123456789012"
  region     = "us-east-1"
}

run "a_key_that_rotates_and_allows_no_star" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "The key does not rotate."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_kms_key.this.policy).Statement : alltrue([for action in flatten([statement.Action]) : !strcontains(action, "*")])])
    error_message = "The key's policy allows by a star."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_kms_key.this.policy).Statement : can(statement.Condition) if can(statement.Principal.Service) && statement.Sid != "Events"])
    error_message = "A service may use the key for another account."
  }

  assert {
    condition     = [for statement in jsondecode(aws_kms_key.this.policy).Statement : can(statement.Condition) if flatten([try(statement.Principal.Service, [])]) == ["events.amazonaws.com"]] == [false]
    error_message = "EventBridge, which tells no account, cannot write to the encrypted topic."
  }
}

run "names_are_of_one_form" {
  command = plan

  variables {
    name = "sales"
  }

  expect_failures = [var.name]
}

run "a_key_cannot_go_at_once" {
  command = plan

  variables {
    deletion_days = 1
  }

  expect_failures = [var.deletion_days]
}
