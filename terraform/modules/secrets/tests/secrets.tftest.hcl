mock_provider "aws" {}

variables {
  name          = "crm-assets-dev"
  kms_key_arn   = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  database_host = "database.example.com"
  databases     = { dagster = 1, mlflow = 1 }
  generated     = { page-cookie = 1 }
  given         = ["api-keys"]
  recovery_days = 30
}

run "no_value_is_in_a_plan" {
  command = plan

  assert {
    condition     = alltrue([for version in aws_secretsmanager_secret_version.database : version.secret_string == null && version.secret_string_wo_version == 1])
    error_message = "A password is written where a plan shows it."
  }

  assert {
    condition     = sort(keys(aws_secretsmanager_secret.this)) == ["api-keys", "dagster-database-url", "mlflow-database-url", "page-cookie"]
    error_message = "A secret is missing, or there is one too many."
  }

  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : secret.kms_key_id == var.kms_key_arn])
    error_message = "A secret has another key."
  }
}

run "a_removed_secret_can_be_had_back" {
  command = plan

  variables {
    recovery_days = 3
  }

  expect_failures = [var.recovery_days]
}

run "passwords_are_counted_from_one" {
  command = plan

  variables {
    databases = { dagster = 0 }
  }

  expect_failures = [var.databases]
}
