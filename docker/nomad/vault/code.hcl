# What the role crm-assets-code may read.
path "secret/data/crm-assets/code" {
  capabilities = ["read"]
}
path "secret/data/crm-assets/postgres" {
  capabilities = ["read"]
}
path "secret/data/crm-assets/s3" {
  capabilities = ["read"]
}
