resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsAndBudgetOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"] }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      },
      {
        # EventBridge does not say for whom it writes: with a condition, nothing would arrive, and nobody would be told.
        Sid       = "RuleOfLostRuns"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
      },
      {
        Sid       = "OnlyOverTls"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "mail" {
  for_each = var.mail_addresses

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

locals {
  tell = [aws_sns_topic.alarms.arn]
}

# Behind the API are two groups where it is released by blue and green, and either may be the one that answers. A sum or a
# maximum leaves out what has no figure. FILL is no way: the newest minute comes late, so that it would always be the
# filled one.
locals {
  api      = { for number, group in var.target_groups["api"] : tostring(number) => group }
  requests = "SUM([${join(", ", [for number in keys(local.api) : "r${number}"])}])"
  # Without a fault there is no figure of faults, but one of requests, which tells that there was none.
  faults = "SUM([${join(", ", [for number in keys(local.api) : "e${number}, z${number}"])}])"
}

resource "aws_cloudwatch_metric_alarm" "unhealthy" {
  for_each = { for service, groups in var.target_groups : service => groups if contains(var.services, service) }

  alarm_name          = "${var.name}-${each.key}-unhealthy"
  alarm_description   = "No task of ${each.key} answers its health check."
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  evaluation_periods  = 5
  treat_missing_data  = "breaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell

  metric_query {
    id          = "healthy"
    expression  = "SUM([${join(", ", [for number, group in each.value : "m${number}"])}])"
    label       = "Tasks that answer"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { for number, group in each.value : tostring(number) => group }

    content {
      id = "m${metric_query.key}"

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = "HealthyHostCount"
        stat        = "Maximum"
        period      = 60
        dimensions  = { LoadBalancer = var.balancer_suffix, TargetGroup = metric_query.value }
      }
    }
  }
}

# The two that take a new version of the API back.
resource "aws_cloudwatch_metric_alarm" "api_errors" {
  alarm_name          = "${var.name}-api-errors"
  alarm_description   = "More than one of a hundred requests to the API ends with a fault of ours."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell

  metric_query {
    id          = "share"
    expression  = "IF(${local.requests} > 20, 100 * ${local.faults} / ${local.requests}, 0)"
    label       = "Faults in percent"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = local.api

    content {
      id         = "z${metric_query.key}"
      expression = "0 * r${metric_query.key}"
      label      = "None"
    }
  }

  dynamic "metric_query" {
    for_each = merge(
      { for number, group in local.api : "e${number}" => { group = group, metric = "HTTPCode_Target_5XX_Count" } },
      { for number, group in local.api : "r${number}" => { group = group, metric = "RequestCount" } },
    )

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value.metric
        stat        = "Sum"
        period      = 60
        dimensions  = { LoadBalancer = var.balancer_suffix, TargetGroup = metric_query.value.group }
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "api_slow" {
  alarm_name          = "${var.name}-api-slow"
  alarm_description   = "Of a hundred requests to the API, five take longer than ${var.api_seconds} s."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.api_seconds
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell

  metric_query {
    id          = "slowest"
    expression  = "MAX([${join(", ", [for number in keys(local.api) : "m${number}"])}])"
    label       = "Seconds of 95 of 100"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = local.api

    content {
      id = "m${metric_query.key}"

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = "TargetResponseTime"
        stat        = "p95"
        period      = 60
        dimensions  = { LoadBalancer = var.balancer_suffix, TargetGroup = metric_query.value }
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "balancer_errors" {
  alarm_name          = "${var.name}-balancer-errors"
  alarm_description   = "The balancer found nobody to hand requests on to."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HTTPCode_ELB_5XX_Count"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 10
  treat_missing_data  = "notBreaching"
  dimensions          = { LoadBalancer = var.balancer_suffix }
  alarm_actions       = local.tell
}

resource "aws_cloudwatch_metric_alarm" "memory" {
  for_each = var.services

  alarm_name          = "${var.name}-${each.key}-memory"
  alarm_description   = "${each.key} has used more than 90 % of its memory for a quarter of an hour, or does not run."
  namespace           = "AWS/ECS"
  metric_name         = "MemoryUtilization"
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 90
  # A service without a task has no figure.
  treat_missing_data = "breaching"
  dimensions         = { ClusterName = var.cluster_name, ServiceName = "${var.name}-${each.key}" }
  alarm_actions      = local.tell
  ok_actions         = local.tell
}

resource "aws_cloudwatch_metric_alarm" "running" {
  for_each = var.insights ? var.services : toset([])

  alarm_name          = "${var.name}-${each.key}-running"
  alarm_description   = "${each.key} has had no task for five minutes."
  namespace           = "ECS/ContainerInsights"
  metric_name         = "RunningTaskCount"
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  dimensions          = { ClusterName = var.cluster_name, ServiceName = "${var.name}-${each.key}" }
  alarm_actions       = local.tell
  ok_actions          = local.tell
}

locals {
  database = {
    cpu         = { metric = "CPUUtilization", above = true, threshold = 85, periods = 3, told = "The database's processor is at its limit." }
    storage     = { metric = "FreeStorageSpace", above = false, threshold = var.database_storage_gb * 1024 * 1024 * 1024 / 10, periods = 1, told = "Less than a tenth of the database's first disk is free." }
    memory      = { metric = "FreeableMemory", above = false, threshold = 64 * 1024 * 1024, periods = 3, told = "The database has less than 64 MB of memory left." }
    connections = { metric = "DatabaseConnections", above = true, threshold = 80, periods = 3, told = "The database has more than 80 connections." }
  }
}

resource "aws_cloudwatch_metric_alarm" "database" {
  for_each = local.database

  alarm_name          = "${var.name}-database-${each.key}"
  alarm_description   = each.value.told
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  statistic           = "Average"
  period              = 300
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.above ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "breaching"
  dimensions          = { DBInstanceIdentifier = var.database_identifier }
  alarm_actions       = local.tell
  ok_actions          = local.tell
}

resource "aws_cloudwatch_log_metric_filter" "errors" {
  for_each = var.log_groups

  name           = "${var.name}-${each.key}-errors"
  log_group_name = each.value
  # Whatever wrote the line: Dagster, MLflow, or the API, whose lines are JSON.
  pattern = "?ERROR ?CRITICAL ?Traceback"

  metric_transformation {
    namespace     = var.name
    name          = "errors-${each.key}"
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each = var.log_groups

  alarm_name          = "${var.name}-${each.key}-errors-logged"
  alarm_description   = "${each.key} has logged more than 20 errors in five minutes."
  namespace           = var.name
  metric_name         = aws_cloudwatch_log_metric_filter.errors[each.key].metric_transformation[0].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 20
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
}

resource "aws_budgets_budget" "this" {
  count = var.budget_dollars == null ? 0 : 1

  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.budget_dollars)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  # The whole account: tags count for costs only once somebody has activated them, and an account is to have one environment.
  notification {
    comparison_operator       = "GREATER_THAN"
    threshold                 = 80
    threshold_type            = "PERCENTAGE"
    notification_type         = "ACTUAL"
    subscriber_sns_topic_arns = local.tell
  }

  notification {
    comparison_operator       = "GREATER_THAN"
    threshold                 = 100
    threshold_type            = "PERCENTAGE"
    notification_type         = "FORECASTED"
    subscriber_sns_topic_arns = local.tell
  }

  depends_on = [aws_sns_topic_policy.alarms]
}
