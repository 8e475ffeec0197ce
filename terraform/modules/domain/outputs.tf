output "zone_id" {
  description = "Zone that the addresses are in."
  value       = local.zone_id
}

output "name_servers" {
  description = "What the domain above has to name as the servers of this one; none where the zone was there."
  value       = var.zone_id == null ? aws_route53_zone.this[0].name_servers : []
}

output "certificate_arn" {
  description = "Certificate, once it holds."
  value       = var.certificate_arn == null ? aws_acm_certificate_validation.this[0].certificate_arn : var.certificate_arn
}

output "names" {
  description = "Host -> its whole name."
  value       = local.names
}
