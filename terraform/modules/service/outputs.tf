output "name" {
  description = "Name of the service."
  value       = local.name

  # Who scales or releases the service waits for it.
  depends_on = [aws_ecs_service.rolling, aws_ecs_service.blue_green]
}
