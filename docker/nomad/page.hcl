# The page over the API. It needs an issuer at which people sign in.

variable "datacenters" {
  type    = list(string)
  default = ["dc1"]
}

variable "image_tag" {
  type        = string
  default     = "0.1.0"
  description = "Tag of the image that docker/Dockerfile makes; put the registry before crm-assets where there is one."
}

variable "host_network" {
  type        = string
  default     = "default"
  description = "Network of the clients that the ports are bound to."
}

variable "lake_url" {
  type        = string
  default     = "s3://lake"
  description = "Where tables and reports live."
}

variable "app_url" {
  type        = string
  default     = "http://localhost:8501"
  description = "Where people reach the page, to which they come back signed in."
}

variable "oidc_issuer" {
  type        = string
  default     = ""
  description = "Issuer of OpenID Connect at which people sign in."
}

variable "oidc_client_id" {
  type        = string
  default     = ""
  description = "Client id of the page there."
}

variable "oidc_scopes" {
  type        = string
  default     = "openid email profile"
  description = "Scopes that make its access token one for the API."
}

job "crm-assets-page" {
  type        = "service"
  datacenters = var.datacenters

  update {
    # Beside the old one until its checks pass, which then takes its place.
    canary            = 1
    auto_promote      = true
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
    auto_revert       = true
  }

  group "page" {
    count = 1

    network {
      mode = "bridge"
      port "http" {
        to           = 8501
        host_network = var.host_network
      }
    }

    service {
      name     = "crm-assets-page"
      provider = "consul"
      port     = "8501"

      check {
        name     = "healthy"
        type     = "script"
        task     = "page"
        command  = "python"
        args     = ["/opt/crm/healthy.py", "page"]
        interval = "30s"
        timeout  = "10s"

        check_restart {
          limit = 3
          grace = "2m"
        }
      }

      connect {
        sidecar_service {
          proxy {
            upstreams {
              destination_name = "crm-assets-api"
              local_bind_port  = 8000
            }
          }
        }
      }
    }

    # Where a load balancer finds it: the mesh does not let it in.
    service {
      name     = "crm-assets-page-http"
      provider = "consul"
      port     = "http"

      check {
        name     = "answers"
        type     = "http"
        path     = "/_stcore/health"
        interval = "10s"
        timeout  = "5s"
      }
    }

    restart {
      # What it needs may start later than it.
      attempts = 10
      interval = "10m"
      delay    = "15s"
      mode     = "delay"
    }

    task "page" {
      driver = "docker"
      user   = "10001:10001"

      config {
        image           = "crm-assets:${var.image_tag}"
        command         = "python"
        args            = ["-m", "crm_assets.app"]
        ports           = ["http"]
        init            = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges:true"]
        readonly_rootfs = true

        mount {
          type   = "tmpfs"
          target = "/tmp"
          tmpfs_options {
            size = 268435456
          }
        }
      }

      vault {
        role = "crm-assets-page"
      }

      env {
        CRM_PROFILE            = "production"
        CRM_REQUIRE_SERVICES   = "false"
        CRM_LAKE_URL           = "${var.lake_url}"
        CRM_HOME               = "/tmp"
        CRM_APP_HOST           = "0.0.0.0"
        CRM_APP_API_URL        = "http://127.0.0.1:8000"
        CRM_APP_URL            = "${var.app_url}"
        CRM_API_OIDC_ISSUER    = "${var.oidc_issuer}"
        CRM_APP_OIDC_CLIENT_ID = "${var.oidc_client_id}"
        CRM_APP_OIDC_SCOPES    = "${var.oidc_scopes}"
      }

      template {
        destination = "secrets/crm.env"
        env         = true
        data        = <<-EOT
          {{- with secret "secret/data/crm-assets/page" }}
          CRM_APP_OIDC_CLIENT_SECRET={{ .Data.data.oidc_client_secret | toJSON }}
          CRM_APP_COOKIE_SECRET={{ .Data.data.cookie_secret | toJSON }}
          {{- end }}
        EOT
      }

      resources {
        cpu    = 300
        memory = 1024
      }
    }
  }
}
