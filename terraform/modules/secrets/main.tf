# The places of secrets, and none of their values: those are written by a task within the network or by people, and pass
# through no plan and no state.

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:The master's password is rotated by RDS; the others by the task that made them, with --renew, after which services start anew.
  for_each = setunion(var.made, var.given)

  name                    = "${var.name}/${each.key}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_days
}
