mock_provider "aws" {}

variables {
  name                = "crm-assets-dev"
  account_id          = "123456789012"
  region              = "us-east-1"
  kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
  mail_addresses      = ["operations@example.com"]
  cluster_name        = "crm-assets-dev"
  services            = ["api", "daemon"]
  insights            = true
  database_identifier = "crm-assets-dev"
  database_storage_gb = 20
  balancer_suffix     = "app/crm-assets-dev/1"
  target_groups       = { api = ["targetgroup/crm-assets-dev-api/1", "targetgroup/crm-assets-dev-api-green/2"] }
  log_groups          = { run = "/crm-assets-dev/run" }
  budget_dollars      = 100
}

run "every_alarm_is_told" {
  # Applied, for where it is told is known then.
  command = apply

  override_resource {
    target = aws_sns_topic.alarms
    values = { arn = "arn:aws:sns:us-east-1:123456789012:crm-assets-dev-alarms" }
  }

  assert {
    condition     = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.unhealthy), values(aws_cloudwatch_metric_alarm.memory), values(aws_cloudwatch_metric_alarm.running), values(aws_cloudwatch_metric_alarm.database), values(aws_cloudwatch_metric_alarm.errors), [aws_cloudwatch_metric_alarm.api_errors, aws_cloudwatch_metric_alarm.api_slow, aws_cloudwatch_metric_alarm.balancer_errors]) : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "An alarm goes to nobody."
  }

  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == var.kms_key_arn
    error_message = "What is told is plain."
  }

  assert {
    condition     = [for statement in jsondecode(aws_sns_topic_policy.alarms.policy).Statement : contains(keys(statement), "Condition") if try(statement.Principal.Service == "events.amazonaws.com", false)] == [false]
    error_message = "EventBridge may not write to the topic: it fulfils no condition."
  }

  assert {
    condition     = aws_budgets_budget.this[0].limit_amount == "100" && length(aws_budgets_budget.this[0].notification) == 2
    error_message = "Nobody hears of what it costs."
  }
}

run "a_service_that_does_not_run_is_not_unhealthy" {
  command = plan

  variables {
    services = []
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.unhealthy) == 0
    error_message = "Whoever sets up an environment is told that nothing runs yet."
  }
}

run "late_figures_are_waited_for" {
  command = plan

  assert {
    condition = [for alarm in [aws_cloudwatch_metric_alarm.api_errors, aws_cloudwatch_metric_alarm.api_slow, aws_cloudwatch_metric_alarm.unhealthy["api"]] : one([for query in alarm.metric_query : query.expression if query.return_data == true])] == [
      "IF(SUM([r0, r1]) > 20, 100 * SUM([e0, z0, e1, z1]) / SUM([r0, r1]), 0)", "MAX([m0, m1])", "SUM([m0, m1])",
    ]
    error_message = "What has no figure yet counts as one."
  }
}

run "no_budget_and_no_figures_of_tasks" {
  command = plan

  variables {
    budget_dollars = null
    insights       = false
  }

  assert {
    condition     = length(aws_budgets_budget.this) == 0 && length(aws_cloudwatch_metric_alarm.running) == 0
    error_message = "What is not measured has an alarm."
  }
}

run "an_address_is_one" {
  command = plan

  variables {
    mail_addresses = ["operations"]
  }

  expect_failures = [var.mail_addresses]
}

run "a_budget_is_more_than_none" {
  command = plan

  variables {
    budget_dollars = 0
  }

  expect_failures = [var.budget_dollars]
}

run "an_answer_takes_time" {
  command = plan

  variables {
    api_seconds = 0
  }

  expect_failures = [var.api_seconds]
}
