output "host" {
  description = "Host name that it answers at, on port 5432."
  value       = aws_db_instance.this.address
}

output "identifier" {
  description = "Its name, as alarms know it."
  value       = aws_db_instance.this.identifier
}

output "master_secret_arn" {
  description = "Secret with the master's name and password, which RDS keeps."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}
