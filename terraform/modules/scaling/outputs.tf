output "resource_id" {
  description = "What is scaled, as Application Auto Scaling knows it."
  value       = aws_appautoscaling_target.this.resource_id
}
