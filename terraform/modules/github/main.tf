# Workflows come in with a token that GitHub signs for the job, and with no key that could be stolen. Whoever only plans
# reads; who deploys is a job of GitHub's environment, which has its approvals there.

locals {
  issuer = "token.actions.githubusercontent.com"

  provider_arn = var.make_provider ? aws_iam_openid_connect_provider.this[0].arn : "arn:aws:iam::${var.account_id}:oidc-provider/${local.issuer}"

  subjects = {
    plan   = ["repo:${var.repository}:environment:${var.environment}-plan"]
    deploy = ["repo:${var.repository}:environment:${var.environment}"]
  }

  place = "${var.region}:${var.account_id}"
}

resource "aws_iam_openid_connect_provider" "this" {
  count = var.make_provider ? 1 : 0

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "this" {
  for_each = local.subjects

  name        = "${var.name}-github-${each.key}"
  description = "Workflows of ${var.repository}: ${each.key}"
  # As long as the longest steps of deploy.yml that go on with one session.
  max_session_duration = each.key == "deploy" ? 7200 : 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = local.provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:aud" = "sts.amazonaws.com"
          "${local.issuer}:sub" = each.value
        }
      }
    }]
  })
}

resource "aws_iam_policy" "this" {
  #checkov:skip=CKV_AWS_289:Who deploys makes the roles of this environment; the statement names them, and none can do more than the environment's boundary.
  #checkov:skip=CKV_AWS_355:What only looks knows no resources in part; each such statement says so.
  #checkov:skip=CKV_AWS_290:What is made has no name before it is there, and what is changed is told by its tag; each such statement says so.
  #checkov:skip=CKV_AWS_288:Who plans reads the state, and no bucket of data.
  #checkov:skip=CKV_AWS_287:The one credential that is read is the registry's, by which images are pushed; no secret's value is.
  #checkov:skip=CKV_AWS_286:Who deploys makes the roles of this environment, within its boundary; its own and those of workflows it may not change.
  for_each = local.policies

  name        = "${var.name}-github-${each.key}"
  description = each.value.about
  policy      = jsonencode({ Version = "2012-10-17", Statement = each.value.statements })
}

resource "aws_iam_role_policy_attachment" "plan" {
  for_each = { for name, policy in local.policies : name => policy if policy.plan }

  role       = aws_iam_role.this["plan"].name
  policy_arn = aws_iam_policy.this[each.key].arn
}

resource "aws_iam_role_policy_attachment" "deploy" {
  for_each = local.policies

  role       = aws_iam_role.this["deploy"].name
  policy_arn = aws_iam_policy.this[each.key].arn
}
