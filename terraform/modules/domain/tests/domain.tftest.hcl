mock_provider "aws" {}

variables {
  name   = "crm-assets-dev"
  domain = "dev.crm.example.com"
  hosts  = ["", "api", "dagster", "mlflow"]
}

run "a_zone_and_a_certificate_are_made" {
  command = plan

  assert {
    condition     = length(aws_route53_zone.this) == 1 && aws_acm_certificate.this[0].validation_method == "DNS"
    error_message = "The domain has no zone or certificate."
  }

  assert {
    condition     = output.names["api"] == "api.dev.crm.example.com" && output.names[""] == "dev.crm.example.com"
    error_message = "Names are not below the domain."
  }
}

run "those_that_are_there_are_used" {
  command = plan

  variables {
    zone_id         = "Z0123456789"
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b"
  }

  assert {
    condition     = length(aws_route53_zone.this) == 0 && length(aws_acm_certificate.this) == 0 && output.zone_id == "Z0123456789"
    error_message = "What is there is made once more."
  }
}

run "a_domain_is_no_url" {
  command = plan

  variables {
    domain = "https://crm.example.com"
  }

  expect_failures = [var.domain]
}
