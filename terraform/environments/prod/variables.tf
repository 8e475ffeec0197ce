variable "region" {
  description = "Region that everything is in."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Write it as eu-central-1."
  }
}

variable "domain" {
  description = "Domain of the environment, such as dev.crm.example.com."
  type        = string
}

variable "zone_id" {
  description = "Zone of Route 53 that the domain is in; null has one made."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "Certificate for the domain and *. below it that is there already; null has one made."
  type        = string
  default     = null
}

variable "image_digest" {
  description = "Digest of the image in the registry, as sha256:...; null before the first is pushed."
  type        = string
  default     = null
}

variable "running" {
  description = "Whether the services run. Not before the image is pushed and the databases are made."
  type        = bool
  default     = true
}

variable "first_in_account" {
  description = "Whether no other environment is in this account: false in all but one of those that share it."
  type        = bool
  default     = true
}

variable "operator_cidrs" {
  description = "Addresses that Dagster's and MLflow's pages answer to, as [\"203.0.113.0/24\"]."
  type        = list(string)
}

variable "operator_login" {
  description = "Issuer at which operators sign in besides; the state holds its secret then."
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
}

variable "sign_in" {
  description = "Issuer of OpenID Connect at which users of the page sign in; null for no page."
  type = object({
    issuer    = string
    audience  = string
    client_id = string
    scopes    = optional(string, "openid email profile")
  })
  default = null
}

variable "settings" {
  description = "Further settings of the platform for Dagster's services, none of them a secret."
  type        = map(string)
  default     = {}
}

variable "spark" {
  description = "EMR Serverless on which runs have features computed: the application's ARN and the job's role; null for none."
  type        = object({ application_arn = string, role_arn = string })
  default     = null
}

variable "secrets_given" {
  description = "Settings that are secrets and that people fill in: alert-urls, writeback-secret."
  type        = set(string)
  default     = []
}

variable "alert_ports" {
  description = "Ports besides 443 on which alerts go out, as 587 for mail."
  type        = set(number)
  default     = []
}

variable "mail_addresses" {
  description = "Who is told of alarms and of the budget."
  type        = set(string)
}

variable "github" {
  description = "Repository whose workflows deploy, as owner/name, and where the state is; null for none. provider is false where the account knows GitHub already."
  type        = object({ repository = string, state_bucket = string, state_key_arn = string, provider = optional(bool, true) })
  default     = null
}

variable "budget_dollars" {
  description = "Dollars a month that the account may cost before people are told; null for nobody."
  type        = number
  default     = 700
}
