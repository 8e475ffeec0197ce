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

variable "repository_arn" {
  description = "Registry that the image is fetched from."
  type        = string
}

variable "master_secret_arn" {
  description = "Secret in which RDS keeps the database's master password."
  type        = string
}

variable "spark" {
  description = "EMR Serverless on which runs may have features computed: the application's ARN and the job's role; none when it is null."
  type        = object({ application_arn = string, role_arn = string })
  default     = null
}
