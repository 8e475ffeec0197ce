# What the role crm-assets-api may read.
path "secret/data/crm-assets/api" {
  capabilities = ["read"]
}
path "secret/data/crm-assets/s3" {
  capabilities = ["read"]
}
