variable "environment" {
  description = "Name of the environment, which every name has in it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]{2,10}$", var.environment))
    error_message = "2 to 10 small letters and digits."
  }
}

variable "domain" {
  description = "Domain of the environment, such as dev.crm.example.com: the page is there, and api., dagster. and mlflow. below it."
  type        = string
}

variable "zone_id" {
  description = "Zone of Route 53 that the domain is in; null has one made, which the domain above has to point to."
  type        = string
  default     = null

  validation {
    condition     = var.zone_id == null ? true : can(regex("^Z[A-Z0-9]{1,31}$", var.zone_id))
    error_message = "A zone's id begins with Z, as Z0123456789ABCDEFGHIJ."
  }
}

variable "certificate_arn" {
  description = "Certificate for the domain and *. below it that is there already; null has one made."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn == null ? true : can(regex("^arn:aws:acm:[a-z0-9-]+:\\d{12}:certificate/", var.certificate_arn))
    error_message = "Write the certificate's ARN: arn:aws:acm:...:certificate/..."
  }
}

variable "image_digest" {
  description = "Digest of the image in the registry, as sha256:...; null before the first is pushed."
  type        = string
  default     = null

  validation {
    condition     = var.image_digest == null ? true : can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "Write sha256: and 64 hexadecimal digits; a tag may be another image tomorrow."
  }
}

variable "running" {
  description = "Whether the services run. Not before the image is pushed and the databases are made."
  type        = bool

  validation {
    condition     = !var.running || var.image_digest != null
    error_message = "Nothing can run without an image: set image_digest."
  }
}

variable "first_in_account" {
  description = "Whether this environment makes what an account has once: the registry and the acquaintance with GitHub."
  type        = bool
  default     = true
}

variable "operator_cidrs" {
  description = "Addresses that Dagster's and MLflow's pages answer to: they have no login of their own."
  type        = list(string)

  validation {
    condition     = alltrue([for cidr in var.operator_cidrs : can(cidrhost(cidr, 0))])
    error_message = "Write addresses as 203.0.113.0/24."
  }
}

variable "operator_login" {
  description = "Issuer at which operators sign in besides, see modules/balancer."
  type = object({
    issuer                 = string
    authorization_endpoint = string
    token_endpoint         = string
    user_info_endpoint     = string
    client_id              = string
    client_secret          = string
  })
  default   = null
  sensitive = true
}

variable "user_cidrs" {
  description = "Addresses that page and API answer to, each to who signs in or has a key."
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.user_cidrs) > 0 && alltrue([for cidr in var.user_cidrs : can(cidrnetmask(cidr))])
    error_message = "IPv4 ranges, as 203.0.113.0/24."
  }
}

variable "sign_in" {
  description = "Issuer of OpenID Connect at which users of the page sign in; without it there is no page, and the API takes keys alone."
  type = object({
    issuer    = string
    audience  = string
    client_id = string
    scopes    = optional(string, "openid email profile")
  })
  default = null

  validation {
    condition     = var.sign_in == null ? true : startswith(var.sign_in.issuer, "https://")
    error_message = "An issuer's address begins with https://."
  }
}

variable "settings" {
  description = "Further settings of the platform (docs/configuration.md) for Dagster's services, none of them a secret."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : startswith(name, "CRM_")])
    error_message = "Settings begin with CRM_."
  }
}

variable "spark" {
  description = "EMR Serverless on which runs have features computed (docs/grow.md): the application's ARN and the job's role; none when it is null."
  type        = object({ application_arn = string, role_arn = string })
  default     = null

  validation {
    condition     = var.spark == null ? true : can(regex("^arn:aws:emr-serverless:[a-z0-9-]+:\\d{12}:/applications/[0-9a-z]+$", var.spark.application_arn))
    error_message = "Write the application's ARN: arn:aws:emr-serverless:...:/applications/..."
  }

  validation {
    condition     = var.spark == null ? true : can(regex("^arn:aws:iam::\\d{12}:role/", var.spark.role_arn))
    error_message = "Write the role's ARN: arn:aws:iam::...:role/..."
  }

  validation {
    condition     = var.spark == null ? true : !strcontains(var.spark.role_arn, ":role/crm-assets-${var.environment}-")
    error_message = "A role whose name begins as the environment's can be handed to tasks and changed by who deploys: name it otherwise, as crm-assets-features-${var.environment}."
  }
}

variable "secrets_given" {
  description = "Settings that are secrets and that people fill in: alert-urls, writeback-secret."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.secrets_given, ["alert-urls", "writeback-secret"])) == 0
    error_message = "Choose among alert-urls and writeback-secret."
  }
}

variable "alert_ports" {
  description = "Ports besides 443 on which alerts go out, as 587 for mail."
  type        = set(number)
  default     = []

  validation {
    condition     = alltrue([for port in var.alert_ports : port >= 1 && port <= 65535 && floor(port) == port])
    error_message = "A port is a whole number from 1 to 65535."
  }
}

variable "mail_addresses" {
  description = "Who is told of alarms."
  type        = set(string)
}

variable "budget_dollars" {
  description = "Dollars a month that the account may cost before people are told; null for nobody."
  type        = number
}

variable "github" {
  description = "Repository whose workflows deploy, and where Terraform's state is, as terraform/bootstrap made it; null for none. provider is false where the account knows GitHub already."
  type        = object({ repository = string, state_bucket = string, state_key_arn = string, provider = optional(bool, true) })
  default     = null
}

variable "network" {
  description = "Addresses, zones and gateways, see modules/network."
  type = object({
    cidr                = string
    zones               = number
    nat_gateways        = number
    interface_endpoints = optional(set(string), [])
  })

  validation {
    condition     = var.network.zones >= 2 && var.network.zones <= 4
    error_message = "Two to four zones."
  }
}

variable "database" {
  description = "Size of the database, see modules/database."
  type = object({
    instance_class = string
    storage_gb     = number
    second_zone    = bool
    backup_days    = number
  })
}

variable "sizes" {
  description = "Processor (1/1024) and memory (MiB) of each task."
  type = object({
    webserver = object({ cpu = number, memory = number })
    daemon    = object({ cpu = number, memory = number })
    code      = object({ cpu = number, memory = number })
    run       = object({ cpu = number, memory = number })
    mlflow    = object({ cpu = number, memory = number })
    api       = object({ cpu = number, memory = number })
    page      = object({ cpu = number, memory = number })
  })
}

variable "scale" {
  description = "Fewest and most tasks of what is scaled."
  type = object({
    api  = object({ min = number, max = number })
    page = object({ min = number, max = number })
  })
}

variable "runs_at_once" {
  description = "Dagster runs that may go on at once."
  type        = number
}

variable "spot" {
  description = "Whether tasks, and whether Dagster's runs, are on Fargate Spot."
  type        = object({ services = bool, runs = bool })
}

variable "blue_green" {
  description = "Whether CodeDeploy moves requests to a new version of the API."
  type        = bool
}

variable "firewall" {
  description = "Whether requests pass AWS' rules against known attacks first."
  type        = bool
}

variable "insights" {
  description = "Whether CloudWatch measures every task."
  type        = bool
}

variable "retention_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "removable" {
  description = "Whether it may be removed with all its data, as for trying things out."
  type        = bool
}
