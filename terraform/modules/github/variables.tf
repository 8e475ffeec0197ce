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

variable "kms_key_arn" {
  description = "Key that everything at rest is encrypted with."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:\\d{12}:key/", var.kms_key_arn))
    error_message = "Write the key's ARN, and not its alias."
  }
}

variable "repository" {
  description = "Repository whose workflows may come in, as owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.repository))
    error_message = "Write it as owner/name."
  }
}

variable "environment" {
  description = "GitHub's environment whose jobs may deploy; its rules say who approves."
  type        = string
}

variable "make_provider" {
  description = "Whether GitHub is introduced to the account here, which an account knows once."
  type        = bool
}

variable "state_bucket" {
  description = "Bucket of Terraform's state."
  type        = string
}

variable "state_key_arn" {
  description = "Key that the state is encrypted with."
  type        = string
}

variable "repository_arn" {
  description = "Registry that images are pushed to."
  type        = string
}

variable "boundary_arn" {
  description = "Policy that is the most that the roles a deployment makes can do, see modules/boundary."
  type        = string
}

variable "zone_ids" {
  description = "Zones of Route 53 whose records are this environment's."
  type        = list(string)
}
