# What the role crm-assets-daemon may read.
path "secret/data/crm-assets/postgres" {
  capabilities = ["read"]
}
