variable "name" {
  description = "What every name begins with, such as crm-assets-dev."
  type        = string

  validation {
    condition     = can(regex("^crm-assets-[a-z0-9]{2,12}$", var.name))
    error_message = "A name is crm-assets- and 2 to 12 small letters and digits: names of target groups may have 32 characters."
  }
}

variable "cluster_name" {
  description = "Cluster that runs are tasks of."
  type        = string
}

variable "task_definition" {
  description = "What a run is started from: its family or ARN. Its container is called run."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets that runs are in."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "Name a subnet."
  }
}

variable "security_group_id" {
  description = "Group that says whom a run may call."
  type        = string
}

variable "public_ip" {
  description = "Whether runs get a public address, without which they cannot go out of a public subnet."
  type        = bool
}

variable "spot" {
  description = "Whether runs are on Fargate Spot; one that is stopped is started once more."
  type        = bool
}

variable "runs_at_once" {
  description = "Runs that may go on at once; of those that write to the lake it is always one."
  type        = number

  validation {
    condition     = var.runs_at_once >= 1 && var.runs_at_once <= 50
    error_message = "1 to 50."
  }
}

variable "alarm_topic_arn" {
  description = "Whom to tell of runs that could not start or ran out of memory."
  type        = string
}
