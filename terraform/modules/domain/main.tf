locals {
  names   = { for host in var.hosts : host => host == "" ? var.domain : "${host}.${var.domain}" }
  zone_id = var.zone_id == null ? aws_route53_zone.this[0].zone_id : var.zone_id
}

resource "aws_route53_zone" "this" {
  #checkov:skip=CKV2_AWS_38:DNSSEC is for who owns the domain above to begin, with a key in us-east-1; the certificate protects whoever comes here.
  #checkov:skip=CKV2_AWS_39:A log of DNS questions can only be kept in us-east-1, and would hold who works when.
  count = var.zone_id == null ? 1 : 0

  name    = var.domain
  comment = "Addresses of ${var.name}"
}

resource "aws_acm_certificate" "this" {
  count = var.certificate_arn == null ? 1 : 0

  domain_name               = var.domain
  subject_alternative_names = [for host, name in local.names : name if host != ""]
  validation_method         = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "proof" {
  for_each = var.certificate_arn == null ? toset(concat([var.domain], [for host, name in local.names : name if host != ""])) : []

  zone_id         = local.zone_id
  name            = one([for proof in aws_acm_certificate.this[0].domain_validation_options : proof.resource_record_name if proof.domain_name == each.key])
  type            = one([for proof in aws_acm_certificate.this[0].domain_validation_options : proof.resource_record_type if proof.domain_name == each.key])
  records         = [one([for proof in aws_acm_certificate.this[0].domain_validation_options : proof.resource_record_value if proof.domain_name == each.key])]
  ttl             = 300
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count = var.certificate_arn == null ? 1 : 0

  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = [for record in aws_route53_record.proof : record.fqdn]
}
