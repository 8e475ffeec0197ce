output "topic_arn" {
  description = "Where alarms go."
  value       = aws_sns_topic.alarms.arn
}

output "api_alarm_names" {
  description = "Alarms that take a new version of the API back."
  value       = [aws_cloudwatch_metric_alarm.api_errors.alarm_name, aws_cloudwatch_metric_alarm.api_slow.alarm_name]
}
