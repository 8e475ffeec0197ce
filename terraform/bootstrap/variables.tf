variable "region" {
  description = "Region that the state is in."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Write it as eu-central-1."
  }
}

variable "old_versions_days" {
  description = "Days that former states can be had back."
  type        = number
  default     = 90

  validation {
    condition     = var.old_versions_days >= 7
    error_message = "At least a week."
  }
}
