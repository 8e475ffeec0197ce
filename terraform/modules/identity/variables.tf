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

variable "buckets" {
  description = "ARNs of the buckets."
  type        = object({ lake = string, landing = string, mlflow = string })
}

variable "repository_arn" {
  description = "Registry that the image is fetched from."
  type        = string
}

variable "tasks" {
  description = "What runs; among it run, databases and every service, the page only where there is one."
  type        = set(string)
}

variable "secret_arns" {
  description = "Task -> ARNs of the secrets that are handed to it when it starts."
  type        = map(list(string))

  validation {
    condition     = length(setsubtract(keys(var.secret_arns), var.tasks)) == 0
    error_message = "A secret is handed to a task that there is."
  }
}

variable "boundary_arn" {
  description = "Policy that is the most its roles can do, see modules/boundary."
  type        = string
}

variable "spark" {
  description = "EMR Serverless on which runs may have features computed: the application's ARN and the job's role; none when it is null."
  type        = object({ application_arn = string, role_arn = string })
  default     = null
}

variable "secrets_made" {
  description = "ARNs of the secrets that the task of the databases makes."
  type        = list(string)

  validation {
    condition     = length(var.secrets_made) > 0
    error_message = "There is at least the databases'."
  }
}
