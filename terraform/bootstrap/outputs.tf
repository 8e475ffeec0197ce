output "state_bucket" {
  description = "Bucket of the state, for github in an environment's terraform.tfvars."
  value       = aws_s3_bucket.state.bucket
}

output "state_key_arn" {
  description = "Key of the state, for github in an environment's terraform.tfvars."
  value       = module.encryption.key_arn
}

output "backend" {
  description = "What goes into an environment's backend.hcl: terraform output -raw backend > ../environments/dev/backend.hcl"
  value       = <<-EOT
    bucket     = "${aws_s3_bucket.state.bucket}"
    region     = "${var.region}"
    kms_key_id = "${module.encryption.key_arn}"
  EOT
}
