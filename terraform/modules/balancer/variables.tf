variable "name" {
  description = "What every name begins with, such as crm-assets-dev."
  type        = string

  validation {
    condition     = can(regex("^crm-assets-[a-z0-9]{2,12}$", var.name))
    error_message = "A name is crm-assets- and 2 to 12 small letters and digits: names of target groups may have 32 characters."
  }
}

variable "kms_key_arn" {
  description = "Key that everything at rest is encrypted with."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:\\d{12}:key/", var.kms_key_arn))
    error_message = "Write the key's ARN, and not its alias."
  }
}

variable "retention_days" {
  description = "Days that logs are kept."
  type        = number

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.retention_days)
    error_message = "CloudWatch keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731 days."
  }
}

variable "vpc_id" {
  description = "Network that it is in."
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets, in two zones or more."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "A balancer wants two zones."
  }
}

variable "security_group_id" {
  description = "Group that says who may call it."
  type        = string
}

variable "certificate_arn" {
  description = "Certificate for all hosts."
  type        = string
}

variable "log_bucket" {
  description = "Bucket that its requests are logged to."
  type        = string
}

variable "targets" {
  description = "Service -> the host it is reached by, its port, its health's path, whether only operators may, and whether a browser stays at one task."
  type = map(object({
    host        = string
    port        = number
    health_path = string
    priority    = number
    operators   = bool
    sticky      = bool
  }))

  validation {
    condition     = length(distinct([for target in var.targets : target.priority])) == length(var.targets) && length(distinct([for target in var.targets : target.host])) == length(var.targets)
    error_message = "Each has a host and a priority of its own."
  }
}

variable "operator_cidrs" {
  description = "Addresses that Dagster's and MLflow's pages answer to: they have no login of their own."
  type        = list(string)

  validation {
    condition     = length(var.operator_cidrs) >= 1 && length(var.operator_cidrs) <= 4 && alltrue([for cidr in var.operator_cidrs : can(cidrnetmask(cidr)) && !startswith(cidr, "0.0.0.0/")])
    error_message = "One to four IPv4 ranges, as 203.0.113.0/24, and never the whole internet: whoever reaches these pages may run anything."
  }
}

variable "operator_login" {
  description = "Issuer of OpenID Connect at which operators sign in besides. Terraform's state holds the client's secret then: the balancer takes it from no store."
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

variable "green_target_group_arn" {
  description = "The other group of the API's, of which CodeDeploy takes whichever is idle."
  type        = string
  default     = null
}

variable "blue_green" {
  description = "Whether CodeDeploy moves the API's requests."
  type        = bool
  default     = false
}

variable "test_port" {
  description = "Port on which operators reach a new version of the API before anybody else."
  type        = number
  default     = 8443
}

variable "firewall" {
  description = "Whether requests pass AWS' rules against known attacks first; about 9 dollars a month."
  type        = bool
}

variable "firewall_requests" {
  description = "Requests of one address in five minutes from which it is refused."
  type        = number
  default     = 20000

  validation {
    condition     = var.firewall_requests >= 100
    error_message = "At least 100."
  }
}

variable "removable" {
  description = "Whether it may be removed."
  type        = bool
  default     = false
}
