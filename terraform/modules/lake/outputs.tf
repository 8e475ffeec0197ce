output "names" {
  description = "What a bucket is for -> its name."
  value       = { for use, bucket in aws_s3_bucket.this : use => bucket.bucket }
}

output "arns" {
  description = "What a bucket is for -> its ARN."
  value       = { for use, bucket in aws_s3_bucket.this : use => bucket.arn }
}

output "log_bucket" {
  description = "Name of the bucket of logs, once what writes to it may."
  value       = aws_s3_bucket.this["logs"].bucket

  depends_on = [aws_s3_bucket_policy.this]
}
