variable "name" {
  description = "What every name begins with, such as crm-assets-dev."
  type        = string

  validation {
    condition     = can(regex("^crm-assets-[a-z0-9]{2,12}$", var.name))
    error_message = "A name is crm-assets- and 2 to 12 small letters and digits: names of target groups may have 32 characters."
  }
}

variable "cluster_name" {
  description = "Cluster of the service."
  type        = string
}

variable "role" {
  description = "What the service is, as api."
  type        = string
}

variable "service_name" {
  description = "Name of the service, once it is there."
  type        = string
}

variable "tasks" {
  description = "Fewest and most tasks."
  type        = object({ min = number, max = number })

  validation {
    condition     = var.tasks.min >= 1 && var.tasks.max >= var.tasks.min && var.tasks.max <= 100
    error_message = "At least one, and the most is no fewer than the fewest."
  }
}

variable "cpu_percent" {
  description = "Share of the processor that is aimed at."
  type        = number
  default     = 60

  validation {
    condition     = var.cpu_percent >= 10 && var.cpu_percent <= 90
    error_message = "10 to 90 percent."
  }
}
