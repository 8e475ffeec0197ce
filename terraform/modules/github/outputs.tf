output "role_arns" {
  description = "Role for planning and role for deploying, which workflows name."
  value       = { for what, role in aws_iam_role.this : what => role.arn }
}
