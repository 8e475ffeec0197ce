mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_region" {
    defaults = { name = "us-east-1" }
  }

  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1a", "us-east-1b", "us-east-1c"] }
  }
}

variables {
  domain         = "crm.example.com"
  operator_cidrs = ["203.0.113.0/24"]
  mail_addresses = ["operations@example.com"]
  image_digest   = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  sign_in        = { issuer = "https://id.example.com", audience = "crm", client_id = "page" }
  github = {
    repository    = "example/crm-assets"
    state_bucket  = "crm-assets-state-123456789012"
    state_key_arn = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  }
}

run "it_is_planned_as_its_switches_say" {
  command = plan

  assert {
    condition     = output.api_release.application == "crm-assets-prod-api"
    error_message = "Requests move all at once."
  }

  assert {
    condition     = output.urls.api == "https://api.crm.example.com/v1" && output.cluster_name == "crm-assets-prod"
    error_message = "It has the name of another."
  }
}

run "before_there_is_an_image" {
  command = plan

  variables {
    image_digest = null
    running      = false
  }

  assert {
    condition     = length(output.log_groups) == 8
    error_message = "What the first image is to find is not there."
  }
}

run "a_region_is_one" {
  command = plan

  variables {
    region = "here"
  }

  expect_failures = [var.region]
}
