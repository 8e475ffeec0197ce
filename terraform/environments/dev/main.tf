# For trying things out: as cheap as it can be, and removed without asking.

module "platform" {
  source = "../../modules/platform"

  environment = "dev"

  # No gateway: tasks have public addresses, at which nothing but the balancer and other tasks may call them.
  network = { cidr = "10.20.0.0/16", zones = 2, nat_gateways = 0 }

  database = { instance_class = "db.t4g.micro", storage_gb = 20, second_zone = false, backup_days = 1 }

  sizes = {
    webserver = { cpu = 256, memory = 1024 }
    daemon    = { cpu = 256, memory = 1024 }
    code      = { cpu = 512, memory = 1024 }
    run       = { cpu = 1024, memory = 4096 }
    mlflow    = { cpu = 256, memory = 1024 }
    api       = { cpu = 256, memory = 1024 }
    page      = { cpu = 256, memory = 1024 }
  }
  scale        = { api = { min = 1, max = 2 }, page = { min = 1, max = 1 } }
  runs_at_once = 2

  spot           = { services = true, runs = true }
  blue_green     = false
  firewall       = false
  insights       = false
  retention_days = 14
  removable      = true

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
