output "arn" {
  description = "ARN of the policy, which every role of the environment has as its boundary."
  value       = aws_iam_policy.this.arn
}
