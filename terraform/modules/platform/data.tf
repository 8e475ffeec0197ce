module "lake" {
  source = "../lake"

  name              = local.name
  account_id        = local.account_id
  kms_key_arn       = module.encryption.key_arn
  old_versions_days = var.removable ? 7 : 30
  logs_days         = var.retention_days
  removable         = var.removable
}

module "database" {
  source = "../database"

  name              = local.name
  kms_key_arn       = module.encryption.key_arn
  retention_days    = var.retention_days
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = module.network.security_group_ids["database"]
  instance_class    = var.database.instance_class
  storage_gb        = var.database.storage_gb
  second_zone       = var.database.second_zone
  backup_days       = var.database.backup_days
  removable         = var.removable
}

locals {
  secrets_made = concat(["dagster-database-url", "mlflow-database-url"], local.with_page ? ["page-cookie"] : [])
}

module "secrets" {
  source = "../secrets"

  name          = local.name
  kms_key_arn   = module.encryption.key_arn
  made          = local.secrets_made
  given         = setunion(["api-keys"], local.with_page ? ["page-client-secret"] : [], var.secrets_given)
  recovery_days = var.removable ? 0 : 30
}

module "registry" {
  source = "../registry"
  count  = var.first_in_account ? 1 : 0

  name        = "crm-assets"
  kms_key_arn = module.encryption.key_arn
}

locals {
  # Another environment of this account has made it otherwise; its address follows from the account.
  repository_url = var.first_in_account ? module.registry[0].url : "${local.account_id}.dkr.ecr.${local.region}.amazonaws.com/crm-assets"
  repository_arn = "arn:aws:ecr:${local.region}:${local.account_id}:repository/crm-assets"

  # Before there is an image, tasks are described with one that cannot be.
  image = "${local.repository_url}@${coalesce(var.image_digest, "sha256:${join("", [for digit in range(64) : "0"])}")}"
}
