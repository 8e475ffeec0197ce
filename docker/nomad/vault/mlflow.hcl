# What the role crm-assets-mlflow may read.
path "secret/data/crm-assets/postgres" {
  capabilities = ["read"]
}
path "secret/data/crm-assets/s3" {
  capabilities = ["read"]
}
