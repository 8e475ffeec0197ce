mock_provider "aws" {}

variables {
  name        = "crm-assets"
  kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
}

run "a_tag_stays_what_it_is" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push && aws_ecr_repository.this.encryption_configuration[0].encryption_type == "KMS"
    error_message = "An image may be replaced, or is neither looked at nor encrypted."
  }

  assert {
    condition     = !aws_ecr_repository.this.force_delete
    error_message = "Who removes one environment takes the images of the others along."
  }
}

run "there_is_one_to_go_back_to" {
  command = plan

  variables {
    images_kept = 1
  }

  expect_failures = [var.images_kept]
}

run "names_are_small" {
  command = plan

  variables {
    name = "CRM"
  }

  expect_failures = [var.name]
}
