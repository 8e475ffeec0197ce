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

variable "subnet_ids" {
  description = "Private subnets, in two zones or more."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "RDS wants subnets in two zones, also for one instance."
  }
}

variable "security_group_id" {
  description = "Group that says who may call it."
  type        = string
}

variable "instance_class" {
  description = "Size of the instance."
  type        = string

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "Write it as db.t4g.micro."
  }
}

variable "storage_gb" {
  description = "Gigabytes at first; it grows to five times that by itself."
  type        = number

  validation {
    condition     = var.storage_gb >= 20 && var.storage_gb <= 1000
    error_message = "20 to 1000 GB."
  }
}

variable "second_zone" {
  description = "Whether a copy in another zone takes over by itself; it doubles the price."
  type        = bool
}

variable "backup_days" {
  description = "Days to any second of which it can be taken back."
  type        = number

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "RDS keeps backups for 1 to 35 days; none is no choice."
  }
}

variable "removable" {
  description = "Whether it may be removed, without a last snapshot."
  type        = bool
  default     = false
}
