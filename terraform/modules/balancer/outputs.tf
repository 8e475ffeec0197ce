output "dns_name" {
  description = "Name that AWS gave it, for records of one's own."
  value       = aws_lb.this.dns_name
}

output "zone_id" {
  description = "Zone of that name, for alias records."
  value       = aws_lb.this.zone_id
}

output "arn_suffix" {
  description = "How its metrics know it."
  value       = aws_lb.this.arn_suffix
}

output "target_groups" {
  description = "Service -> its target group, once requests are handed on to it: ECS refuses one before."
  value       = { for service, group in aws_lb_target_group.this : service => { arn = group.arn, name = group.name, arn_suffix = group.arn_suffix } }

  depends_on = [aws_lb_listener_rule.fixed, aws_lb_listener_rule.moved]
}

output "listener_arn" {
  description = "Where requests arrive."
  value       = aws_lb_listener.https.arn
}

output "test_listener_arn" {
  description = "Where operators reach a new version of the API first; null without blue and green."
  value       = one([for listener in aws_lb_listener.test : listener.arn])
}
