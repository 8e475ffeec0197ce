# The API.

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

variable "source_url" {
  type        = string
  default     = "s3://landing/crm"
  description = "Where the CRM's monthly extracts land; `simulator:` runs the simulated CRM instead."
}

variable "lake_url" {
  type        = string
  default     = "s3://lake"
  description = "Where tables and reports live."
}

variable "dagster_url" {
  type        = string
  default     = "http://localhost:3000"
  description = "Address of Dagster's pages, for people."
}

variable "oidc_issuer" {
  type        = string
  default     = ""
  description = "Issuer of OpenID Connect at which people sign in."
}

variable "oidc_audience" {
  type        = string
  default     = ""
  description = "Audience of its access tokens for the API."
}

job "crm-assets-api" {
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

  group "api" {
    count = 1

    network {
      mode = "bridge"
      port "http" {
        to           = 8000
        host_network = var.host_network
      }
    }

    volume "api" {
      type   = "host"
      source = "crm-assets-api"
    }

    service {
      name     = "crm-assets-api"
      provider = "consul"
      port     = "8000"

      check {
        name     = "healthy"
        type     = "script"
        task     = "api"
        command  = "python"
        args     = ["/opt/crm/healthy.py", "api"]
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
              destination_name = "crm-assets-minio"
              local_bind_port  = 9000
            }
            upstreams {
              destination_name = "crm-assets-mlflow"
              local_bind_port  = 5000
            }
            upstreams {
              destination_name = "crm-assets-webserver"
              local_bind_port  = 3000
            }
          }
        }
      }
    }

    # Where a load balancer finds it: the mesh does not let it in.
    service {
      name     = "crm-assets-api-http"
      provider = "consul"
      port     = "http"

      check {
        name     = "answers"
        type     = "http"
        path     = "/health/live"
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

    task "api" {
      driver       = "docker"
      user         = "10001:10001"
      kill_timeout = "1m"

      config {
        image           = "crm-assets:${var.image_tag}"
        command         = "python"
        args            = ["-m", "crm_assets.serving"]
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

      volume_mount {
        volume      = "api"
        destination = "/var/lib/crm/api"
      }

      vault {
        role = "crm-assets-api"
      }

      env {
        AWS_ENDPOINT_URL_S3       = "http://127.0.0.1:9000"
        AWS_REGION                = "us-east-1"
        AWS_EC2_METADATA_DISABLED = "true"
        CRM_PROFILE               = "production"
        CRM_SOURCE_URL            = "${var.source_url}"
        CRM_LAKE_URL              = "${var.lake_url}"
        CRM_MLFLOW_TRACKING_URI   = "http://127.0.0.1:5000"
        CRM_HOME                  = "/var/lib/crm/api"
        CRM_API_HOST              = "0.0.0.0"
        # It has no key to Dagster's database, which the profile would ask for.
        CRM_REQUIRE_SERVICES      = "false"
        CRM_API_DAGSTER_URL       = "http://127.0.0.1:3000"
        CRM_DAGSTER_URL           = "${var.dagster_url}"
        # Hashes of keys, one a line; read again when Vault has others.
        CRM_API_KEYS_FILE         = "/secrets/api_keys"
        CRM_API_OIDC_ISSUER       = "${var.oidc_issuer}"
        CRM_API_OIDC_AUDIENCE     = "${var.oidc_audience}"
      }

      template {
        destination = "secrets/crm.env"
        env         = true
        data        = <<-EOT
          {{- with secret "secret/data/crm-assets/s3" }}
          AWS_ACCESS_KEY_ID={{ .Data.data.access_key }}
          AWS_SECRET_ACCESS_KEY={{ .Data.data.secret_key }}
          {{- end }}
        EOT
      }

      template {
        destination = "secrets/api_keys"
        change_mode = "noop"
        data        = <<-EOT
          {{- with secret "secret/data/crm-assets/api" }}
          {{ .Data.data.keys }}
          {{- end }}
        EOT
      }

      resources {
        cpu    = 500
        memory = 1024
      }
    }
  }
}
