mock_provider "aws" {}

variables {
  name          = "crm-assets-dev"
  kms_key_arn   = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  made          = ["dagster-database-url"]
  given         = ["api-keys"]
  recovery_days = 30
}

run "each_has_our_key_and_can_be_had_back" {
  command = plan

  assert {
    condition     = toset(keys(aws_secretsmanager_secret.this)) == toset(["api-keys", "dagster-database-url"])
    error_message = "A secret is missing, or there is one too many."
  }

  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : secret.kms_key_id == var.kms_key_arn && secret.recovery_window_in_days == 30])
    error_message = "A secret has another key, or is gone at once."
  }
}

run "a_removed_secret_can_be_had_back" {
  command = plan

  variables {
    recovery_days = 3
  }

  expect_failures = [var.recovery_days]
}

run "a_secret_is_made_or_given" {
  command = plan

  variables {
    given = ["dagster-database-url"]
  }

  expect_failures = [var.given]
}
