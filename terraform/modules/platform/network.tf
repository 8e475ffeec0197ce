data "aws_caller_identity" "this" {}

data "aws_region" "this" {}

data "aws_availability_zones" "this" {
  #checkov:skip=CKV_AWS_394:As many as the environment asks for are taken in the order of their names; a zone that is new stands last.
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  name       = "crm-assets-${var.environment}"
  account_id = data.aws_caller_identity.this.account_id
  region     = data.aws_region.this.name
  with_page  = var.sign_in != null

  # The ports are those of docker/compose.yaml.
  ports = { code = 4000, mlflow = 5000, webserver = 3000, api = 8000, page = 8501 }

  callers_of = merge(
    {
      code      = ["webserver", "daemon"]
      mlflow    = ["balancer", "code", "run", "api"]
      webserver = ["balancer", "api"]
      api       = local.with_page ? ["balancer", "page"] : ["balancer"]
    },
    local.with_page ? { page = ["balancer"] } : {},
  )

  postgres_users = ["webserver", "daemon", "code", "run", "mlflow", "databases"]

  flows = merge(
    merge([
      for to, callers in local.callers_of : { for from in callers : "${from}-${to}" => { from = from, to = to, port = local.ports[to] } }
    ]...),
    { for from in local.postgres_users : "${from}-database" => { from = from, to = "database", port = 5432 } },
  )

  services = concat(["webserver", "daemon", "code", "mlflow", "api"], local.with_page ? ["page"] : [])
  tasks    = concat(local.services, ["run", "databases"])
}

module "encryption" {
  source = "../encryption"

  name          = local.name
  account_id    = local.account_id
  region        = local.region
  deletion_days = var.removable ? 7 : 30
}

module "boundary" {
  source = "../boundary"

  name              = local.name
  account_id        = local.account_id
  region            = local.region
  kms_key_arn       = module.encryption.key_arn
  repository_arn    = local.repository_arn
  master_secret_arn = module.database.master_secret_arn
  spark             = var.spark
}

module "network" {
  source = "../network"

  name                = local.name
  account_id          = local.account_id
  region              = local.region
  kms_key_arn         = module.encryption.key_arn
  boundary_arn        = module.boundary.arn
  retention_days      = var.retention_days
  cidr                = var.network.cidr
  zones               = slice(sort(data.aws_availability_zones.this.names), 0, var.network.zones)
  nat_gateways        = var.network.nat_gateways
  interface_endpoints = var.network.interface_endpoints

  members = concat(local.tasks, ["balancer", "database"])
  flows   = local.flows

  from_outside = merge(
    { for cidr in var.user_cidrs : "users-https-${cidr}" => { to = "balancer", port = 443, cidr = cidr } },
    { for cidr in var.user_cidrs : "users-http-${cidr}" => { to = "balancer", port = 80, cidr = cidr } },
    { for cidr in setsubtract(var.operator_cidrs, var.user_cidrs) : "operators-https-${cidr}" => { to = "balancer", port = 443, cidr = cidr } },
    { for cidr in var.operator_cidrs : "operators-test-${cidr}" => { to = "balancer", port = 8443, cidr = cidr } if var.blue_green },
  )

  to_outside = merge(
    { for task in local.tasks : "${task}-https" => { from = task, port = 443 } },
    merge([for port in var.alert_ports : { for task in ["code", "run"] : "${task}-${port}" => { from = task, port = port } }]...),
    # The issuer at which operators sign in is asked by the balancer itself.
    nonsensitive(var.operator_login != null) ? { balancer-https = { from = "balancer", port = 443 } } : {},
  )
}

module "domain" {
  source = "../domain"

  name            = local.name
  domain          = var.domain
  zone_id         = var.zone_id
  certificate_arn = var.certificate_arn
  hosts           = ["", "api", "dagster", "mlflow"]
}

resource "aws_route53_record" "balancer" {
  for_each = module.domain.names

  zone_id = module.domain.zone_id
  name    = each.value
  type    = "A"

  alias {
    name                   = module.balancer.dns_name
    zone_id                = module.balancer.zone_id
    evaluate_target_health = false
  }
}

locals {
  targets = merge(
    {
      webserver = { host = module.domain.names["dagster"], port = local.ports.webserver, health_path = "/server_info", priority = 10, operators = true, sticky = false }
      mlflow    = { host = module.domain.names["mlflow"], port = local.ports.mlflow, health_path = "/health", priority = 20, operators = true, sticky = false }
      api       = { host = module.domain.names["api"], port = local.ports.api, health_path = "/health/live", priority = 30, operators = false, sticky = false }
    },
    # What the page's server knows of a session is in one task.
    local.with_page ? {
      page = { host = module.domain.names[""], port = local.ports.page, health_path = "/_stcore/health", priority = 40, operators = false, sticky = true }
    } : {},
  )
}

module "balancer" {
  source = "../balancer"

  name                   = local.name
  kms_key_arn            = module.encryption.key_arn
  retention_days         = var.retention_days
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.public_subnet_ids
  security_group_id      = module.network.security_group_ids["balancer"]
  certificate_arn        = module.domain.certificate_arn
  log_bucket             = module.lake.log_bucket
  targets                = local.targets
  operator_cidrs         = var.operator_cidrs
  operator_login         = var.operator_login
  blue_green             = var.blue_green
  green_target_group_arn = var.blue_green ? module.api_release[0].green_target_group_arn : null
  firewall               = var.firewall
  removable              = var.removable
}
