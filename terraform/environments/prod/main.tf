# What people rely on: two zones for everything that serves, and nothing is removed by mistake.

module "platform" {
  source = "../../modules/platform"

  environment = "prod"

  network = { cidr = "10.40.0.0/16", zones = 2, nat_gateways = 2 }

  database = { instance_class = "db.t4g.medium", storage_gb = 50, second_zone = true, backup_days = 30 }

  sizes = {
    webserver = { cpu = 512, memory = 2048 }
    daemon    = { cpu = 512, memory = 1024 }
    code      = { cpu = 1024, memory = 2048 }
    run       = { cpu = 4096, memory = 16384 }
    mlflow    = { cpu = 512, memory = 2048 }
    api       = { cpu = 1024, memory = 2048 }
    page      = { cpu = 512, memory = 2048 }
  }
  scale        = { api = { min = 2, max = 6 }, page = { min = 2, max = 4 } }
  runs_at_once = 4

  # A run that is stopped begins anew, and a month has one deadline: not at a third of the price here.
  spot           = { services = false, runs = false }
  blue_green     = true
  firewall       = true
  insights       = true
  retention_days = 365
  removable      = false

  domain           = var.domain
  zone_id          = var.zone_id
  certificate_arn  = var.certificate_arn
  image_digest     = var.image_digest
  running          = var.running
  first_in_account = var.first_in_account
  operator_cidrs   = var.operator_cidrs
  operator_login   = var.operator_login
  user_cidrs       = var.user_cidrs
  sign_in          = var.sign_in
  settings         = var.settings
  spark            = var.spark
  secrets_given    = var.secrets_given
  alert_ports      = var.alert_ports
  mail_addresses   = var.mail_addresses
  github           = var.github
  budget_dollars   = var.budget_dollars
}
