# What the role crm-assets-webserver may read.
path "secret/data/crm-assets/postgres" {
  capabilities = ["read"]
}
