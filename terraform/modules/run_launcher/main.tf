# Dagster tells of runs that failed (docs/alerts.md), but not of a task that never came to be Dagster's: an image that is not
# there, no capacity, too little memory.

resource "aws_cloudwatch_event_rule" "lost" {
  name        = "${var.name}-run-lost"
  description = "A run's task did not start, or was ended for want of memory"

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      lastStatus = ["STOPPED"]
      group      = [{ prefix = "family:${var.name}-run" }]
      "$or" = [
        { stopCode = ["TaskFailedToStart"] },
        { containers = { exitCode = [137] } },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "lost" {
  rule      = aws_cloudwatch_event_rule.lost.name
  target_id = "alarms"
  arn       = var.alarm_topic_arn
}

# What EventBridge could not hand on is told nowhere else.
resource "aws_cloudwatch_metric_alarm" "untold" {
  alarm_name          = "${var.name}-run-lost-untold"
  alarm_description   = "A run's task was lost, and its message was not delivered."
  namespace           = "AWS/Events"
  metric_name         = "FailedInvocations"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  dimensions          = { RuleName = aws_cloudwatch_event_rule.lost.name }
  alarm_actions       = [var.alarm_topic_arn]
}
