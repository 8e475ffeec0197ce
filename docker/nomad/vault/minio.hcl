# What the role crm-assets-minio may read.
path "secret/data/crm-assets/s3" {
  capabilities = ["read"]
}
