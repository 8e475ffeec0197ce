locals {
  scaled = toset([for service in ["api", "page"] : service if contains(local.services, service)])
  found  = ["code", "mlflow", "webserver", "api"]
}

module "service" {
  source   = "../service"
  for_each = toset(var.running ? local.services : [])

  name                = local.name
  role                = each.key
  cluster_arn         = module.cluster.arn
  task_definition_arn = module.task[each.key].arn
  tasks               = contains(local.scaled, each.key) ? var.scale[each.key].min : 1
  blue_green          = each.key == "api" && var.blue_green
  spot                = var.spot.services && !(each.key == "api" && var.blue_green)
  # Two daemons would start everything twice.
  alone             = each.key == "daemon"
  subnet_ids        = module.network.task_subnet_ids
  public_ip         = module.network.task_public_ip
  security_group_id = module.network.security_group_ids[each.key]
  port              = lookup(local.ports, each.key, null)
  balanced          = contains(keys(local.targets), each.key)
  target_group_arn  = contains(keys(local.targets), each.key) ? module.balancer.target_groups[each.key].arn : null
  discovered        = contains(local.found, each.key)
  discovery_arn     = contains(local.found, each.key) ? module.cluster.discovery_arns[each.key] : null
  alarm_names       = each.key == "api" ? module.watching.api_alarm_names : []
}

module "scaling" {
  source   = "../scaling"
  for_each = var.running ? local.scaled : toset([])

  name         = local.name
  role         = each.key
  cluster_name = module.cluster.name
  service_name = module.service[each.key].name
  tasks        = var.scale[each.key]
}

module "api_release" {
  source = "../api_release"
  count  = var.blue_green ? 1 : 0

  name                   = local.name
  account_id             = local.account_id
  region                 = local.region
  boundary_arn           = module.boundary.arn
  vpc_id                 = module.network.vpc_id
  port                   = local.ports.api
  health_path            = "/health/live"
  service                = { cluster = module.cluster.name, name = var.running ? module.service["api"].name : "${local.name}-api" }
  blue_target_group_name = module.balancer.target_groups["api"].name
  listener_arn           = module.balancer.listener_arn
  test_listener_arn      = module.balancer.test_listener_arn
  role_arns              = [module.identity.task_role_arns["api"], module.identity.execution_role_arns["api"]]
  alarm_names            = module.watching.api_alarm_names
  # It wants a service that is there.
  with_codedeploy = var.running
}

module "watching" {
  source = "../watching"

  name                = local.name
  account_id          = local.account_id
  region              = local.region
  kms_key_arn         = module.encryption.key_arn
  mail_addresses      = var.mail_addresses
  cluster_name        = module.cluster.name
  services            = var.running ? local.services : []
  insights            = var.insights
  database_identifier = module.database.identifier
  database_storage_gb = var.database.storage_gb
  balancer_suffix     = module.balancer.arn_suffix
  target_groups = {
    for service, group in module.balancer.target_groups : service => concat(
      [group.arn_suffix], service == "api" && var.blue_green ? [module.api_release[0].green_target_group_suffix] : [],
    )
  }
  log_groups     = { for task, definition in module.task : task => definition.log_group }
  budget_dollars = var.budget_dollars
}

module "github" {
  source = "../github"
  count  = var.github == null ? 0 : 1

  name           = local.name
  account_id     = local.account_id
  region         = local.region
  environment    = var.environment
  kms_key_arn    = module.encryption.key_arn
  repository     = var.github.repository
  state_bucket   = var.github.state_bucket
  state_key_arn  = var.github.state_key_arn
  repository_arn = local.repository_arn
  boundary_arn   = module.boundary.arn
  zone_ids       = [module.domain.zone_id, module.cluster.zone_id]
  make_provider  = var.first_in_account && var.github.provider
}
