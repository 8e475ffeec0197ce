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

variable "role" {
  description = "What the task is: its container and the end of its family's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2,12}$", var.role))
    error_message = "Small letters, 2 to 12 of them."
  }
}

variable "region" {
  description = "Region that it is in."
  type        = string
}

variable "image" {
  description = "Image, by its digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest, as repository@sha256:...: a tag may be another image tomorrow."
  }
}

variable "command" {
  description = "What it runs; the image's own command when it is null."
  type        = list(string)
  default     = null
}

variable "cpu" {
  description = "Processor, in 1/1024 of one."
  type        = number

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "Fargate has 256, 512, 1024, 2048, 4096, 8192 and 16384."
  }
}

variable "memory" {
  description = "Memory in MiB."
  type        = number

  validation {
    condition = contains(
      {
        "256"   = [512, 1024, 2048]
        "512"   = range(1024, 4096 + 1, 1024)
        "1024"  = range(2048, 8192 + 1, 1024)
        "2048"  = range(4096, 16384 + 1, 1024)
        "4096"  = range(8192, 30720 + 1, 1024)
        "8192"  = range(16384, 61440 + 1, 4096)
        "16384" = range(32768, 122880 + 1, 8192)
      }[tostring(contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu) ? var.cpu : 256)], var.memory
    )
    error_message = "Fargate has 512, 1024 or 2048 MiB for 256; two to eight times the processor, at most 30, 60 and 120 GB, in steps of 1 GB up to 4096, 4 GB for 8192 and 8 GB for 16384."
  }
}

variable "disk_gb" {
  description = "Disk of a task, which is gone with it."
  type        = number
  default     = 21

  validation {
    condition     = var.disk_gb >= 21 && var.disk_gb <= 200
    error_message = "21 to 200 GB; 20 are what Fargate gives unasked."
  }
}

variable "architecture" {
  description = "Processor that the image is built for."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "X86_64 or ARM64."
  }
}

variable "port" {
  description = "Port that it listens on; none when it is null."
  type        = number
  default     = null
}

variable "health_check" {
  description = "Command that tells by its end whether it works; none when it is null."
  type        = list(string)
  default     = null
}

variable "environment" {
  description = "Variables, none of which is a secret."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.environment) : !can(regex("PASSWORD|SECRET|_TOKEN|POSTGRES_URL|BACKEND_STORE_URI|_KEYS$", name))])
    error_message = "What looks like a secret goes into secrets, where no state holds it."
  }
}

variable "secrets" {
  description = "Variables whose values are secrets: name -> ARN, with :key:: behind it for one key of it."
  type        = map(string)
  default     = {}
}

variable "writable" {
  description = "Folders that it may write to; everything else is read-only."
  type        = list(string)
  default     = ["/tmp"]
}

variable "stop_seconds" {
  description = "Seconds that it has to end."
  type        = number
  default     = 30

  validation {
    condition     = var.stop_seconds >= 2 && var.stop_seconds <= 120
    error_message = "Fargate gives 2 to 120 seconds."
  }
}

variable "task_role_arn" {
  description = "Role of the program."
  type        = string
}

variable "execution_role_arn" {
  description = "Role of who fetches image and secrets for it."
  type        = string
}
