# No value passes through a plan or a state: those below are ephemeral and written once for each number, and the others are
# filled in by people.

locals {
  all = toset(concat([for name in keys(var.databases) : "${name}-database-url"], keys(var.generated), tolist(var.given)))
}

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:Rotated by raising its number, which the tasks follow when they start; the master's password is rotated by RDS.
  for_each = local.all

  name                    = "${var.name}/${each.key}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_days
}

ephemeral "aws_secretsmanager_random_password" "database" {
  for_each = var.databases

  password_length = 40
  # It stands in a URL.
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret_version" "database" {
  for_each = var.databases

  secret_id                = aws_secretsmanager_secret.this["${each.key}-database-url"].id
  secret_string_wo         = "postgresql+psycopg2://${each.key}:${ephemeral.aws_secretsmanager_random_password.database[each.key].random_password}@${var.database_host}:5432/${each.key}?sslmode=require"
  secret_string_wo_version = each.value
}

ephemeral "aws_secretsmanager_random_password" "generated" {
  for_each = var.generated

  password_length     = 64
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret_version" "generated" {
  for_each = var.generated

  secret_id                = aws_secretsmanager_secret.this[each.key].id
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.generated[each.key].random_password
  secret_string_wo_version = each.value
}
