# What the role crm-assets-buckets may read.
path "secret/data/crm-assets/s3" {
  capabilities = ["read"]
}
