output "arn" {
  description = "ARN of the task definition, with its revision."
  value       = aws_ecs_task_definition.this.arn
}

output "family" {
  description = "Family of the task definition."
  value       = aws_ecs_task_definition.this.family
}

output "log_group" {
  description = "Log group of its tasks."
  value       = aws_cloudwatch_log_group.this.name
}
