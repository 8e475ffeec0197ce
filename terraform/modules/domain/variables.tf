variable "name" {
  description = "What every name begins with, such as crm-assets-dev."
  type        = string

  validation {
    condition     = can(regex("^crm-assets-[a-z0-9]{2,12}$", var.name))
    error_message = "A name is crm-assets- and 2 to 12 small letters and digits: names of target groups may have 32 characters."
  }
}

variable "domain" {
  description = "Domain of the environment, such as dev.crm.example.com."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "Write it as dev.crm.example.com."
  }
}

variable "zone_id" {
  description = "Zone of Route 53 that the domain is in; one is made for it when it is null, which the domain above it has to point to."
  type        = string
  default     = null
}

variable "hosts" {
  description = "What is reached below the domain, as api; an empty one is the domain itself."
  type        = set(string)
}

variable "certificate_arn" {
  description = "Certificate for all of them that is there already; one is asked for when it is null."
  type        = string
  default     = null
}
