# One key for an environment: each costs a dollar a month, and who may use it is decided by the roles, whose policies name
# it, and by the services that its own policy names.

locals {
  # All that can be done with a key, written out, so that nothing AWS adds to its service comes with it unseen.
  administration = [
    "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:CreateGrant", "kms:Decrypt", "kms:DeleteAlias", "kms:DescribeKey",
    "kms:DisableKey", "kms:DisableKeyRotation", "kms:EnableKey", "kms:EnableKeyRotation", "kms:Encrypt",
    "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus",
    "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListKeyRotations", "kms:ListResourceTags", "kms:PutKeyPolicy",
    "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:RetireGrant", "kms:RevokeGrant", "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource", "kms:UpdateAlias", "kms:UpdateKeyDescription",
  ]
}

resource "aws_kms_key" "this" {
  description             = "${var.name}: everything at rest"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_days

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # A key's own policy stands for the key where it says "*". Without this, roles' policies would mean nothing, and
        # nobody could mend the key.
        Sid       = "AccountDecidesByItsRoles"
        Effect    = "Allow"
        Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
        Action    = local.administration
        Resource  = "*"
      },
      {
        Sid       = "LogGroupsOfThisEnvironment"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.region}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = [
              "arn:aws:logs:${var.region}:${var.account_id}:log-group:/${var.name}/*",
              "arn:aws:logs:${var.region}:${var.account_id}:log-group:/aws/rds/instance/${var.name}/*",
              "arn:aws:logs:${var.region}:${var.account_id}:log-group:/aws/ecs/containerinsights/${var.name}/*",
              "arn:aws:logs:${var.region}:${var.account_id}:log-group:aws-waf-logs-${var.name}",
            ]
          }
        }
      },
      {
        # Whose alarms and budget go to an encrypted topic.
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      },
      {
        # EventBridge tells neither a key nor a topic for whom it asks; it can write to the topic of alarms, and to no other
        # that this key encrypts.
        Sid       = "Events"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
