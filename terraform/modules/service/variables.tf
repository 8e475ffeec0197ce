variable "name" {
  description = "What every name begins with, such as crm-assets-dev."
  type        = string

  validation {
    condition     = can(regex("^crm-assets-[a-z0-9]{2,12}$", var.name))
    error_message = "A name is crm-assets- and 2 to 12 small letters and digits: names of target groups may have 32 characters."
  }
}

variable "role" {
  description = "What the service is, as api."
  type        = string
}

variable "cluster_arn" {
  description = "Cluster that it runs in."
  type        = string
}

variable "task_definition_arn" {
  description = "What its tasks are."
  type        = string
}

variable "tasks" {
  description = "Tasks at first; scaling may have more or fewer later."
  type        = number
  default     = 1

  validation {
    condition     = var.tasks >= 0 && var.tasks <= 100
    error_message = "0 to 100."
  }
}

variable "spot" {
  description = "Whether its tasks run on Fargate Spot: for a third of the price, and stopped at two minutes' notice now and then."
  type        = bool
  default     = false
}

variable "subnet_ids" {
  description = "Subnets that its tasks run in."
  type        = list(string)
}

variable "public_ip" {
  description = "Whether its tasks get a public address, without which they cannot go out of a public subnet."
  type        = bool
  default     = false
}

variable "security_group_id" {
  description = "Group that says whom it may call and who may call it."
  type        = string
}

variable "port" {
  description = "Port that it listens on; none when it is null."
  type        = number
  default     = null
}

variable "target_group_arn" {
  description = "Where the balancer hands requests on to; none when it is null."
  type        = string
  default     = null
}

variable "balanced" {
  description = "Whether there is such a target group, which a plan may not know the ARN of yet."
  type        = bool
  default     = false
}

variable "discovery_arn" {
  description = "Entry in the namespace by which others find it; none when it is null."
  type        = string
  default     = null
}

variable "discovered" {
  description = "Whether there is such an entry, which a plan may not know the ARN of yet."
  type        = bool
  default     = false
}

variable "alone" {
  description = "Whether there must never be two of it, so that the old one ends before the new one starts."
  type        = bool
  default     = false
}

variable "blue_green" {
  description = "Whether CodeDeploy puts a new version beside the old one and moves requests over, and not ECS one task at a time."
  type        = bool
  default     = false

  validation {
    condition     = !(var.blue_green && var.spot)
    error_message = "CodeDeploy and Spot do not go together here: during a change both versions must stay."
  }
}

variable "alarm_names" {
  description = "Alarms that take a new version back while it is rolled out."
  type        = list(string)
  default     = []
}
