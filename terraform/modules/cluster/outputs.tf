output "arn" {
  description = "ARN of the cluster."
  value       = aws_ecs_cluster.this.arn
}

output "name" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "namespace" {
  description = "What stands behind a service's name, as in mlflow.crm-assets-dev.internal."
  value       = aws_service_discovery_private_dns_namespace.this.name
}

output "discovery_arns" {
  description = "Service -> its entry in the namespace."
  value       = { for service, entry in aws_service_discovery_service.this : service => entry.arn }
}

output "zone_id" {
  description = "Zone of Route 53 that came with the namespace."
  value       = aws_service_discovery_private_dns_namespace.this.hosted_zone
}
