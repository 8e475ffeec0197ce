output "task_role_arns" {
  description = "Task -> role of its program."
  value       = { for task, role in aws_iam_role.task : task => role.arn }

  # A task that starts before its role may do anything fails.
  depends_on = [aws_iam_role_policy.task]
}

output "execution_role_arns" {
  description = "Task -> role of who starts it."
  value       = { for task, role in aws_iam_role.execution : task => role.arn }

  depends_on = [aws_iam_role_policy.execution]
}
