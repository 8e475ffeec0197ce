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

variable "region" {
  description = "Region that it is in."
  type        = string
}

variable "cidr" {
  description = "Addresses of the network: 65,536, as 10.20.0.0/16."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.cidr)) && endswith(var.cidr, "/16")
    error_message = "Write an IPv4 range of /16, such as 10.20.0.0/16: subnets are cut from it by their number."
  }
}

variable "zones" {
  description = "Availability zones that it spans; the balancer and the database need two."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 4 && length(distinct(var.zones)) == length(var.zones)
    error_message = "Name two to four different zones."
  }
}

variable "nat_gateways" {
  description = "0: tasks run in public subnets with public addresses, and nothing may call them but the balancer and each other. 1: they run in private subnets and go out by one gateway. As many as zones: no zone depends on another."
  type        = number

  validation {
    condition     = contains([0, 1, length(var.zones)], var.nat_gateways)
    error_message = "Choose 0, 1 or one for each zone."
  }
}

variable "interface_endpoints" {
  description = "Services of AWS that tasks reach without leaving the network, such as secretsmanager; each costs about 7 dollars a month for each zone."
  type        = set(string)
  default     = []
}

variable "retention_days" {
  description = "Days that the log of refused connections is kept."
  type        = number
}

variable "members" {
  description = "Everything that has a security group of its own."
  type        = set(string)
}

variable "flows" {
  description = "Who may call whom, on which port: name of the flow -> its ends, which are members."
  type        = map(object({ from = string, to = string, port = number }))

  validation {
    condition     = alltrue([for flow in var.flows : flow.port > 0 && flow.port < 65536 && contains(var.members, flow.from) && contains(var.members, flow.to)])
    error_message = "Both ends of a flow are members, and its port is 1 to 65535."
  }
}

variable "from_outside" {
  description = "What the members take from outside: name -> the member, the port and who may call."
  type        = map(object({ to = string, port = number, cidr = string }))
  default     = {}
}

variable "to_outside" {
  description = "What the members may call outside: name -> the member and the port."
  type        = map(object({ from = string, port = number }))
  default     = {}
}

variable "boundary_arn" {
  description = "Policy that is the most its roles can do, see modules/boundary."
  type        = string
}
