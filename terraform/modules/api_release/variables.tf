variable "name" {
  description = "What every name begins with, such as crm-assets-dev."
  type        = string

  validation {
    condition     = can(regex("^crm-assets-[a-z0-9]{2,12}$", var.name))
    error_message = "A name is crm-assets- and 2 to 12 small letters and digits: names of target groups may have 32 characters."
  }
}

variable "account_id" {
  description = "Account that it is in."
  type        = string
}

variable "region" {
  description = "Region that it is in."
  type        = string
}

variable "vpc_id" {
  description = "Network of the second target group."
  type        = string
}

variable "port" {
  description = "Port of the API."
  type        = number
}

variable "health_path" {
  description = "Path that tells whether a task answers."
  type        = string
}

variable "service" {
  description = "The service that is released: its cluster's name and its own, once it is there."
  type        = object({ cluster = string, name = string })
}

variable "blue_target_group_name" {
  description = "Name of the group that takes requests at first."
  type        = string
}

variable "listener_arn" {
  description = "Where requests arrive."
  type        = string
}

variable "test_listener_arn" {
  description = "Where operators reach a new version first."
  type        = string
}

variable "role_arns" {
  description = "Roles of the service's tasks and of who starts them, which CodeDeploy hands on."
  type        = list(string)
}

variable "alarm_names" {
  description = "Alarms that take a new version back."
  type        = list(string)
}

variable "how" {
  description = "How requests move: some first, or all at once."
  type        = string
  default     = "CodeDeployDefault.ECSCanary10Percent5Minutes"

  validation {
    condition     = can(regex("^CodeDeployDefault\\.ECS(AllAtOnce|(Canary10Percent|Linear10PercentEvery)[0-9]+Minutes)$", var.how))
    error_message = "Name one of CodeDeploy's own configurations for ECS."
  }
}

variable "keep_minutes" {
  description = "Minutes that the old version stays, so that going back is a matter of seconds."
  type        = number
  default     = 30

  validation {
    condition     = var.keep_minutes >= 5 && var.keep_minutes <= 2880
    error_message = "5 minutes to two days."
  }
}

variable "with_codedeploy" {
  description = "Whether CodeDeploy itself is made; false where it is not offered, which leaves the two groups of targets."
  type        = bool
  default     = true
}

variable "boundary_arn" {
  description = "Policy that is the most its roles can do, see modules/boundary."
  type        = string
}
