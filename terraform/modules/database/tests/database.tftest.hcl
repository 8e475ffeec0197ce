mock_provider "aws" {}

variables {
  name              = "crm-assets-dev"
  kms_key_arn       = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  retention_days    = 14
  subnet_ids        = ["subnet-1", "subnet-2"]
  security_group_id = "sg-1"
  instance_class    = "db.t4g.micro"
  storage_gb        = 20
  second_zone       = false
  backup_days       = 7
}

run "encrypted_private_backed_up_and_without_a_password_of_ours" {
  command = plan

  assert {
    condition     = aws_db_instance.this.storage_encrypted && !aws_db_instance.this.publicly_accessible && aws_db_instance.this.backup_retention_period == 7
    error_message = "The database is open, plain or not backed up."
  }

  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null
    error_message = "A password is in the state."
  }

  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "rds.force_ssl"], "1")
    error_message = "Connections without TLS are let in."
  }

  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "log_connections"], "1")
    error_message = "Nobody sees who connects."
  }

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot
    error_message = "It may be removed though nobody said so."
  }
}

run "for_trying_things_out_it_may_be_removed" {
  command = plan

  variables {
    removable = true
  }

  assert {
    condition     = !aws_db_instance.this.deletion_protection && aws_db_instance.this.skip_final_snapshot
    error_message = "It cannot be removed."
  }
}

run "it_is_backed_up" {
  command = plan

  variables {
    backup_days = 0
  }

  expect_failures = [var.backup_days]
}

run "a_class_is_one_of_rds" {
  command = plan

  variables {
    instance_class = "t4g.micro"
  }

  expect_failures = [var.instance_class]
}

run "two_zones" {
  command = plan

  variables {
    subnet_ids = ["subnet-1"]
  }

  expect_failures = [var.subnet_ids]
}

run "logs_are_kept_for_days_that_there_are" {
  command = plan

  variables {
    retention_days = 10
  }

  expect_failures = [var.retention_days]
}
