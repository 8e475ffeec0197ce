# What is one's own: copy it to terraform.tfvars and change it. Nothing in it is a secret.
region         = "us-east-1"
domain         = "staging.crm.example.com"
operator_cidrs = ["203.0.113.0/24"]
mail_addresses = ["operations@example.com"]

# Of environments that share an account, true for the one that was made first alone.
first_in_account = true

# The image that runs; before there is one, running = false.
image_digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
running      = true

sign_in = {
  issuer    = "https://id.example.com/realms/sales"
  audience  = "crm-assets"
  client_id = "crm-page"
}

github = {
  repository    = "example/crm-assets"
  state_bucket  = "crm-assets-state-123456789012"
  state_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}
