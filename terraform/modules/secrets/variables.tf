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

variable "made" {
  description = "Secrets that the task of docker/make_databases.py makes: random, and nobody has to know them."
  type        = set(string)

  validation {
    condition     = alltrue([for name in var.made : can(regex("^[a-z-]+$", name))])
    error_message = "Small letters and dashes."
  }
}

variable "given" {
  description = "Secrets that people fill in, with aws secretsmanager put-secret-value."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setintersection(var.given, var.made)) == 0
    error_message = "A secret is made or given, and not both."
  }
}

variable "recovery_days" {
  description = "Days in which a removed secret can be had back; 0 for none."
  type        = number

  validation {
    condition     = var.recovery_days == 0 || (var.recovery_days >= 7 && var.recovery_days <= 30)
    error_message = "0, or 7 to 30 days."
  }
}
