variable "name" {
  description = "What every name begins with, such as crm-assets-dev."
  type        = string

  validation {
    condition     = can(regex("^crm-assets-[a-z0-9]{2,12}$", var.name))
    error_message = "A name is crm-assets- and 2 to 12 small letters and digits: names of target groups may have 32 characters."
  }
}

variable "region" {
  description = "Region that it is in."
  type        = string
}

variable "account_id" {
  description = "Account that it is in."
  type        = string

  validation {
    condition     = can(regex("^\\d{12}$", var.account_id))
    error_message = "An account's id has twelve digits."
  }
}

variable "deletion_days" {
  description = "Days in which a key that was removed can be had back, with all that it encrypted."
  type        = number
  default     = 30

  validation {
    condition     = var.deletion_days >= 7 && var.deletion_days <= 30
    error_message = "KMS waits 7 to 30 days."
  }
}
