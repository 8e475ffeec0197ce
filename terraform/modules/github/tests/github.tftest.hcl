mock_provider "aws" {}

variables {
  name           = "crm-assets-staging"
  account_id     = "123456789012"
  region         = "us-east-1"
  kms_key_arn    = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  repository     = "example/crm-assets"
  environment    = "staging"
  make_provider  = true
  state_bucket   = "crm-assets-state-123456789012"
  state_key_arn  = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  zone_ids       = ["Z0123456789", "Z9876543210"]
  boundary_arn   = "arn:aws:iam::123456789012:policy/crm-assets-staging-boundary"
  repository_arn = "arn:aws:ecr:us-east-1:123456789012:repository/crm-assets"
}

run "only_jobs_of_the_environment_come_in" {
  # Applied, for who GitHub is is known then.
  command = apply

  override_resource {
    target = aws_iam_openid_connect_provider.this
    values = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  }

  override_resource {
    target = aws_iam_policy.this
    values = { arn = "arn:aws:iam::123456789012:policy/some" }
  }

  assert {
    condition     = jsondecode(aws_iam_role.this["deploy"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:example/crm-assets:environment:staging"]
    error_message = "Others than jobs of the environment may deploy."
  }

  assert {
    condition     = jsondecode(aws_iam_role.this["plan"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:example/crm-assets:environment:staging-plan"]
    error_message = "Others than plans of the environment may read."
  }

  assert {
    condition     = alltrue(flatten([for policy in aws_iam_policy.this : [for statement in jsondecode(policy.policy).Statement : [for action in statement.Action : !strcontains(action, "*")]]]))
    error_message = "A workflow may do what is named by a star."
  }

  assert {
    condition     = alltrue([for policy in aws_iam_policy.this : length(policy.policy) <= 6144])
    error_message = "A policy is longer than AWS takes."
  }

  assert {
    condition     = sort(keys(aws_iam_role_policy_attachment.plan)) == tolist(["look", "read"])
    error_message = "Who plans may change something."
  }

  assert {
    condition     = alltrue(flatten([for name in ["look", "read"] : [for statement in jsondecode(aws_iam_policy.this[name].policy).Statement : [for action in statement.Action : can(regex(":(Describe|Get|List|View|Decrypt$)", action))]]]))
    error_message = "What who plans has does more than read."
  }

  assert {
    condition = alltrue(flatten([
      for policy in aws_iam_policy.this : [
        for statement in jsondecode(policy.policy).Statement : try(statement.Condition.StringEquals["aws:ResourceTag/environment"] == "staging", false) if length([
          for action in statement.Action : action if can(regex("^(acm|ec2|servicediscovery):(Delete|Detach|Disassociate|Modify|Release|Replace|Revoke|Update)", action))
        ]) > 0
      ]
    ]))
    error_message = "Another environment's network can be changed or removed."
  }

  assert {
    condition = [
      for statement in jsondecode(aws_iam_policy.this["network"].policy).Statement : statement.Resource
      if contains(statement.Action, "route53:ChangeResourceRecordSets")
    ] == [["arn:aws:route53:::hostedzone/Z0123456789", "arn:aws:route53:::hostedzone/Z9876543210"]]
    error_message = "Names of others can be changed."
  }

  assert {
    condition = length(setintersection(
      flatten([for statement in jsondecode(aws_iam_policy.this["roles"].policy).Statement : statement.Action if statement.Effect == "Allow"]),
      ["iam:AttachRolePolicy", "iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DetachRolePolicy"],
    )) == 0
    error_message = "Who deploys may attach a policy that it did not write into the role."
  }
}

run "a_database_is_found_by_its_resource_id" {
  command = plan

  assert {
    condition = [
      for statement in local.policies.look.statements : statement.Resource if contains(statement.Action, "rds:DescribeDBInstances")
    ] == [["arn:aws:rds:us-east-1:123456789012:db:*"]]
    error_message = "The provider's question for a database, which names none, is refused."
  }

  assert {
    condition = length(setintersection(
      flatten([for policy in local.policies : [for statement in policy.statements : statement.Action if statement.Effect == "Allow"]]),
      ["rds:CreateDBInstance", "rds:DeleteDBInstance", "rds:RestoreDBInstanceFromDBSnapshot", "rds:RestoreDBInstanceToPointInTime"],
    )) == 0
    error_message = "Who deploys may make or remove a database."
  }
}

run "what_starts_tasks_is_the_platform" {
  command = plan

  assert {
    condition     = !contains(flatten([for policy in local.policies : [for statement in policy.statements : statement.Action]]), "ecs:RunTask")
    error_message = "Who deploys may start tasks, which no step of a deployment does."
  }
}

run "roles_are_made_within_the_boundary_alone" {
  command = plan

  assert {
    condition = length(setsubtract(
      [for action in flatten([for policy in local.policies : [for statement in policy.statements : statement.Action if statement.Effect == "Allow"]]) : action
      if startswith(action, "iam:") && !can(regex(":(Get|List|PassRole)", action))],
      flatten([for statement in local.policies.roles.statements : statement.Action if statement.Effect == "Deny"]),
    )) == 0
    error_message = "Who deploys may change its own role."
  }

  assert {
    condition = alltrue([
      for statement in local.policies.roles.statements : try(statement.Condition.StringEquals["iam:PermissionsBoundary"], "") == var.boundary_arn
      if statement.Effect == "Allow" && length(setintersection(statement.Action, ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy"])) > 0
    ])
    error_message = "Who deploys may make a role with more rights than its own."
  }

  assert {
    condition = length(setintersection(
      flatten([for policy in local.policies : [for statement in policy.statements : statement.Action if statement.Effect == "Allow"]]),
      ["iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeleteRolePermissionsBoundary", "iam:PutRolePermissionsBoundary", "iam:SetDefaultPolicyVersion"],
    )) == 0
    error_message = "Who deploys may take the boundary away or widen it."
  }
}

run "a_repository_has_an_owner" {
  command = plan

  variables {
    repository = "crm-assets"
  }

  expect_failures = [var.repository]
}
