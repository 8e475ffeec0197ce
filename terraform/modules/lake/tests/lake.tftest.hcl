mock_provider "aws" {}

variables {
  name              = "crm-assets-dev"
  account_id        = "123456789012"
  kms_key_arn       = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  old_versions_days = 30
  logs_days         = 90
}

run "nothing_is_public_and_everything_is_encrypted_and_kept" {
  command = plan

  assert {
    condition     = length(aws_s3_bucket_public_access_block.this) == 4 && alltrue([for block in aws_s3_bucket_public_access_block.this : block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets])
    error_message = "A bucket may be public."
  }

  assert {
    condition     = alltrue([for use in ["lake", "landing", "mlflow"] : one(aws_s3_bucket_server_side_encryption_configuration.this[use].rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && one(aws_s3_bucket_server_side_encryption_configuration.this[use].rule).bucket_key_enabled])
    error_message = "A bucket of data is without the key."
  }

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket_versioning.this : bucket.versioning_configuration[0].status == "Enabled"])
    error_message = "What is overwritten is lost."
  }

  assert {
    condition = [for rule in aws_s3_bucket_lifecycle_configuration.this["lake"].rule : [one(rule.filter).prefix, one(rule.expiration).days] if rule.id == "handed-over"] == [[".emr/", 7]] && alltrue([
      for use in ["landing", "mlflow", "logs"] : !contains([for rule in aws_s3_bucket_lifecycle_configuration.this[use].rule : rule.id], "handed-over")
    ])
    error_message = "What killed runs leave behind is kept, or more goes than that."
  }

  assert {
    condition     = sort(keys(aws_s3_bucket_logging.this)) == tolist(["lake", "landing", "mlflow"])
    error_message = "Who reads and writes a bucket is not noted."
  }

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : !bucket.force_destroy])
    error_message = "Data may be removed though nobody said so."
  }
}

run "balancers_of_this_account_alone_write_their_log" {
  command = plan

  assert {
    condition     = [for writer in local.log_writers : writer.Resource if writer.Sid == "Balancer"] == ["arn:aws:s3:::crm-assets-dev-logs-123456789012/balancer/AWSLogs/123456789012/*"]
    error_message = "The path of what balancers write does not say whose they are."
  }
}

run "names_are_of_one_form" {
  command = plan

  variables {
    name = "lake"
  }

  expect_failures = [var.name]
}

run "the_key_is_named_by_its_arn" {
  command = plan

  variables {
    kms_key_arn = "alias/crm"
  }

  expect_failures = [var.kms_key_arn]
}

run "old_versions_are_kept" {
  command = plan

  variables {
    old_versions_days = 0
  }

  expect_failures = [var.old_versions_days]
}
