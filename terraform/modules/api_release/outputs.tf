output "green_target_group_arn" {
  description = "The second group of targets."
  value       = aws_lb_target_group.green.arn
}

output "green_target_group_suffix" {
  description = "How the second group's metrics know it."
  value       = aws_lb_target_group.green.arn_suffix
}

output "application" {
  description = "CodeDeploy's application and group, which are called the same."
  value       = local.name
}
