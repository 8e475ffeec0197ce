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

variable "account_id" {
  description = "Account that it is in; it makes the buckets' names unique in the world."
  type        = string
}

variable "old_versions_days" {
  description = "Days that overwritten and removed objects can be had back."
  type        = number

  validation {
    condition     = var.old_versions_days >= 1
    error_message = "At least one day."
  }
}

variable "logs_days" {
  description = "Days that the logs of who read and wrote what are kept."
  type        = number

  validation {
    condition     = var.logs_days >= 1
    error_message = "At least one day."
  }
}

variable "removable" {
  description = "Whether the buckets may be removed with all that is in them, as in an environment for trying things out."
  type        = bool
  default     = false
}
