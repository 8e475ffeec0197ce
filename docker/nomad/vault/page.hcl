# What the role crm-assets-page may read.
path "secret/data/crm-assets/page" {
  capabilities = ["read"]
}
