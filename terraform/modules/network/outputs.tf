output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Subnets that the internet reaches, one in each zone."
  value       = [for zone in var.zones : aws_subnet.public[zone].id]
}

output "private_subnet_ids" {
  description = "Subnets that the internet does not reach, one in each zone."
  value       = [for zone in var.zones : aws_subnet.private[zone].id]
}

output "task_subnet_ids" {
  description = "Subnets that tasks run in."
  value       = [for zone in var.zones : local.private_tasks ? aws_subnet.private[zone].id : aws_subnet.public[zone].id]
}

output "task_public_ip" {
  description = "Whether tasks need a public address to go out."
  value       = !local.private_tasks
}

output "security_group_ids" {
  description = "Member -> id of its security group."
  value       = { for member, group in aws_security_group.this : member => group.id }
}
