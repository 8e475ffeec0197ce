# As prod in what it does, and smaller: what is released passes through it.

module "platform" {
  source = "../../modules/platform"

  environment = "staging"

  network = { cidr = "10.30.0.0/16", zones = 2, nat_gateways = 1 }

  database = { instance_class = "db.t4g.small", storage_gb = 20, second_zone = false, backup_days = 7 }

  sizes = {
    webserver = { cpu = 256, memory = 1024 }
    daemon    = { cpu = 256, memory = 1024 }
    code      = { cpu = 512, memory = 2048 }
    run       = { cpu = 2048, memory = 8192 }
    mlflow    = { cpu = 512, memory = 2048 }
    api       = { cpu = 512, memory = 2048 }
    page      = { cpu = 512, memory = 1024 }
  }
  scale        = { api = { min = 1, max = 3 }, page = { min = 1, max = 2 } }
  runs_at_once = 2

  spot           = { services = false, runs = true }
  blue_green     = true
  firewall       = false
  insights       = true
  retention_days = 90
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
