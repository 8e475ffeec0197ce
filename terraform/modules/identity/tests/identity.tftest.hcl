mock_provider "aws" {}

override_resource {
  target = aws_iam_role.task
  values = { arn = "arn:aws:iam::123456789012:role/task" }
}

override_resource {
  target = aws_iam_role.execution
  values = { arn = "arn:aws:iam::123456789012:role/start" }
}

variables {
  name           = "crm-assets-dev"
  account_id     = "123456789012"
  region         = "us-east-1"
  kms_key_arn    = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  buckets        = { lake = "arn:aws:s3:::lake", landing = "arn:aws:s3:::landing", mlflow = "arn:aws:s3:::mlflow" }
  repository_arn = "arn:aws:ecr:us-east-1:123456789012:repository/crm-assets"
  secrets_made   = ["arn:aws:secretsmanager:us-east-1:123456789012:secret:dagster"]
  secret_arns    = { api = ["arn:aws:secretsmanager:us-east-1:123456789012:secret:keys"] }
  tasks          = ["webserver", "daemon", "code", "run", "mlflow", "api", "page", "databases"]
  boundary_arn   = "arn:aws:iam::123456789012:policy/crm-assets-dev-boundary"
}

run "each_task_has_a_role_and_what_it_calls" {
  # Applied, for what it may hand on is known then.
  command = apply

  assert {
    condition     = sort(keys(aws_iam_role.task)) == tolist(["api", "code", "daemon", "databases", "mlflow", "page", "run", "webserver"])
    error_message = "A task has no role of its own."
  }

  assert {
    condition     = sort(keys(aws_iam_role_policy.task)) == tolist(["api", "code", "daemon", "databases", "mlflow", "run", "webserver"])
    error_message = "Who calls nothing of AWS has a policy."
  }

  assert {
    condition     = alltrue(flatten([for policy in aws_iam_role_policy.task : [for statement in jsondecode(policy.policy).Statement : [for action in statement.Action : !strcontains(action, "*")]]]))
    error_message = "A task may do what is named by a star."
  }

  assert {
    condition = alltrue(flatten([
      for policy in aws_iam_role_policy.task : [
        for statement in jsondecode(policy.policy).Statement : statement.Action == ["ecs:DescribeTaskDefinition"] if contains(statement.Resource, "*")
      ]
    ]))
    error_message = "A task may do it to everything."
  }

  assert {
    condition     = alltrue([for role in concat(values(aws_iam_role.task), values(aws_iam_role.execution)) : role.permissions_boundary == var.boundary_arn])
    error_message = "A role has no bounds."
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.task["api"].policy, "s3:DeleteObject") && !strcontains(aws_iam_role_policy.task["api"].policy, "landing")
    error_message = "The API may do more than read and note what it was asked."
  }

  assert {
    condition     = strcontains(aws_iam_role_policy.execution["api"].policy, "secret:keys") && !strcontains(aws_iam_role_policy.execution["page"].policy, "secretsmanager")
    error_message = "A task's secrets can be had by another."
  }
}

run "the_daemon_starts_runs_and_the_code_location_makes_no_month" {
  command = apply

  assert {
    condition     = strcontains(aws_iam_role_policy.task["daemon"].policy, "ecs:RunTask") && !strcontains(aws_iam_role_policy.task["webserver"].policy, "ecs:RunTask")
    error_message = "Who starts runs is the daemon, and nobody else."
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.task["code"].policy, "s3:DeleteObject")
    error_message = "The code location may remove what it does not make."
  }
}

run "secrets_are_for_tasks_that_there_are" {
  command = plan

  variables {
    secret_arns = { nobody = ["arn"] }
  }

  expect_failures = [var.secret_arns]
}

run "an_account_has_twelve_digits" {
  command = plan

  variables {
    account_id = "12"
  }

  expect_failures = [var.account_id]
}
