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

variable "region" {
  description = "Region that it is in."
  type        = string
}

variable "account_id" {
  description = "Account that it is in."
  type        = string
}

variable "mail_addresses" {
  description = "Who is told; each has to confirm a mail once."
  type        = set(string)

  validation {
    condition     = alltrue([for address in var.mail_addresses : can(regex("^[^@ ]+@[^@ ]+\\.[a-z]+$", address))])
    error_message = "Write them as who@example.com."
  }
}

variable "cluster_name" {
  description = "Cluster of the services."
  type        = string
}

variable "services" {
  description = "Services that must always have a task."
  type        = set(string)
}

variable "insights" {
  description = "Whether tasks are counted by Container Insights, without which an alarm looks at memory alone."
  type        = bool
}

variable "database_identifier" {
  description = "Database."
  type        = string
}

variable "database_storage_gb" {
  description = "Gigabytes that the database began with."
  type        = number
}

variable "balancer_suffix" {
  description = "How the balancer's metrics know it."
  type        = string
}

variable "target_groups" {
  description = "What answers requests -> how the metrics know its groups of targets; api is among them."
  type        = map(list(string))

  validation {
    condition     = contains(keys(var.target_groups), "api") && alltrue([for groups in var.target_groups : length(groups) > 0])
    error_message = "Each has a group, and the API is among them."
  }
}

variable "api_seconds" {
  description = "Seconds within which 95 of 100 requests to the API are answered."
  type        = number
  default     = 2

  validation {
    condition     = var.api_seconds > 0
    error_message = "More than none."
  }
}

variable "log_groups" {
  description = "Task -> its log group, of which errors are counted."
  type        = map(string)
}

variable "budget_dollars" {
  description = "Dollars a month from 80 of 100 of which on people are told; nobody is when it is null."
  type        = number
  default     = null

  validation {
    condition     = var.budget_dollars == null ? true : var.budget_dollars > 0
    error_message = "More than none."
  }
}
