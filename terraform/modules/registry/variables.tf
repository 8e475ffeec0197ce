variable "name" {
  description = "Name of the repository."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9/_-]{1,199}$", var.name))
    error_message = "Small letters, digits and dashes."
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

variable "images_kept" {
  description = "Newest images that are kept, so that there is one to go back to."
  type        = number
  default     = 200

  validation {
    condition     = var.images_kept >= 3
    error_message = "At least three: the one that runs, the one before, and the one that is on its way."
  }
}
