mock_provider "aws" {}

variables {
  name              = "crm-assets-dev"
  account_id        = "123456789012"
  region            = "us-east-1"
  kms_key_arn       = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  repository_arn    = "arn:aws:ecr:us-east-1:123456789012:repository/crm-assets"
  master_secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-1" # pragma: allowlist secret
}

run "nothing_of_who_may_do_what_can_be_changed_within_it" {
  command = plan

  assert {
    condition = [
      for action in flatten([for statement in jsondecode(aws_iam_policy.this.policy).Statement : statement.Action]) : action
      if startswith(action, "iam:") || startswith(action, "sts:") || startswith(action, "kms:Put") || startswith(action, "organizations:")
    ] == ["iam:PassRole"]
    error_message = "A role may make another, or open a key."
  }

  assert {
    condition     = alltrue([for action in flatten([for statement in jsondecode(aws_iam_policy.this.policy).Statement : statement.Action]) : !strcontains(action, "*")])
    error_message = "What is allowed at most is named by a star."
  }

  assert {
    condition = alltrue([
      for resource in flatten([for statement in jsondecode(aws_iam_policy.this.policy).Statement : statement.Resource]) :
      strcontains(resource, "crm-assets-dev") || contains(["*", var.kms_key_arn, var.master_secret_arn, var.repository_arn], resource)
    ])
    error_message = "A role may reach what is not this environment's."
  }

  assert {
    condition     = length(aws_iam_policy.this.policy) <= 6144
    error_message = "A policy is longer than AWS takes."
  }

  assert {
    condition     = !strcontains(aws_iam_policy.this.policy, "emr-serverless")
    error_message = "Jobs may be started where there is nothing to start them on."
  }
}

run "jobs_on_spark" {
  command = plan

  variables {
    spark = {
      application_arn = "arn:aws:emr-serverless:us-east-1:123456789012:/applications/00f1a2b3c4d5e6f7"
      role_arn        = "arn:aws:iam::123456789012:role/features"
    }
  }

  assert {
    condition     = strcontains(aws_iam_policy.this.policy, "/applications/00f1a2b3c4d5e6f7/jobruns/*") && strcontains(aws_iam_policy.this.policy, "role/features")
    error_message = "A run may have it in its policy and still not start a job."
  }
}

run "an_account_has_twelve_digits" {
  command = plan

  variables {
    account_id = "12"
  }

  expect_failures = [var.account_id]
}
