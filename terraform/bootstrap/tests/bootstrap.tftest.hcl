mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
}

run "the_state_is_versioned_encrypted_and_private" {
  command = plan

  assert {
    condition     = aws_s3_bucket.state.bucket == "crm-assets-state-123456789012"
    error_message = "Two accounts cannot have a bucket of the same name."
  }

  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled" && one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"
    error_message = "A former state is lost, or it is plain."
  }

  assert {
    condition     = aws_s3_bucket_public_access_block.state.block_public_acls && aws_s3_bucket_public_access_block.state.block_public_policy && aws_s3_bucket_public_access_block.state.ignore_public_acls && aws_s3_bucket_public_access_block.state.restrict_public_buckets
    error_message = "The state may be public."
  }
}

run "former_states_are_kept" {
  command = plan

  variables {
    old_versions_days = 1
  }

  expect_failures = [var.old_versions_days]
}

run "a_region_is_one" {
  command = plan

  variables {
    region = "here"
  }

  expect_failures = [var.region]
}
