# What the role crm-assets-postgres may read.
path "secret/data/crm-assets/postgres" {
  capabilities = ["read"]
}
