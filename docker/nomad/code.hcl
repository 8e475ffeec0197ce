# Dagster's code location. It writes Dagster's own configuration into the volume that webserver and daemon read, and runs
# runs, each in a process of its own: the one service that needs memory.

variable "datacenters" {
  type    = list(string)
  default = ["dc1"]
}

variable "image_tag" {
  type        = string
  default     = "0.1.0"
  description = "Tag of the image that docker/Dockerfile makes; put the registry before crm-assets where there is one."
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

variable "mlflow_url" {
  type        = string
  default     = "http://localhost:5000"
  description = "Address of MLflow's pages, for people."
}

variable "writeback_url" {
  type        = string
  default     = ""
  description = "Where scores are written back to; nowhere unless it is set."
}

variable "first_month" {
  type        = string
  default     = ""
  description = "First monthly partition, YYYY-MM."
}

variable "last_month" {
  type        = string
  default     = ""
  description = "Last monthly partition, YYYY-MM."
}

job "crm-assets-code" {
  type        = "service"
  datacenters = var.datacenters

  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
    auto_revert       = true
  }

  group "code" {
    count = 1

    network {
      mode = "bridge"
    }

    ephemeral_disk {
      size = 10000
    }

    volume "dagster" {
      type   = "host"
      source = "crm-assets-dagster"
    }

    service {
      name     = "crm-assets-code"
      provider = "consul"
      port     = "4000"

      check {
        name     = "healthy"
        type     = "script"
        task     = "code"
        command  = "python"
        args     = ["/opt/crm/healthy.py", "code"]
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
              destination_name = "crm-assets-postgres"
              local_bind_port  = 5432
            }
            upstreams {
              destination_name = "crm-assets-minio"
              local_bind_port  = 9000
            }
            upstreams {
              destination_name = "crm-assets-mlflow"
              local_bind_port  = 5000
            }
          }
        }
      }
    }

    restart {
      # What it needs may start later than it.
      attempts = 10
      interval = "10m"
      delay    = "15s"
      mode     = "delay"
    }

    task "code" {
      driver       = "docker"
      user         = "10001:10001"
      kill_timeout = "30s"

      config {
        image           = "crm-assets:${var.image_tag}"
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
        volume      = "dagster"
        destination = "/var/lib/crm/dagster"
      }

      vault {
        role = "crm-assets-code"
      }

      env {
        AWS_ENDPOINT_URL_S3       = "http://127.0.0.1:9000"
        AWS_REGION                = "us-east-1"
        AWS_EC2_METADATA_DISABLED = "true"
        CRM_PROFILE               = "production"
        CRM_SOURCE_URL            = "${var.source_url}"
        CRM_LAKE_URL              = "${var.lake_url}"
        CRM_MLFLOW_TRACKING_URI   = "http://127.0.0.1:5000"
        CRM_MLFLOW_URL            = "${var.mlflow_url}"
        CRM_DAGSTER_RUNS_AT_ONCE  = "2"
        CRM_DAGSTER_URL           = "${var.dagster_url}"
        CRM_WRITEBACK_URL         = "${var.writeback_url}"
        CRM_FIRST_MONTH           = "${var.first_month}"
        CRM_LAST_MONTH            = "${var.last_month}"
        # The allocation's own disk: what runs put aside may be larger than the memory it is to spare.
        TMPDIR                    = "/alloc/tmp"
      }

      template {
        destination = "secrets/crm.env"
        env         = true
        data        = <<-EOT
          {{- with secret "secret/data/crm-assets/s3" }}
          AWS_ACCESS_KEY_ID={{ .Data.data.access_key }}
          AWS_SECRET_ACCESS_KEY={{ .Data.data.secret_key }}
          {{- end }}
          {{- with secret "secret/data/crm-assets/postgres" }}
          CRM_DAGSTER_POSTGRES_URL=postgresql+psycopg2://crm:{{ .Data.data.password }}@127.0.0.1:5432/dagster
          {{- end }}
          {{- with secret "secret/data/crm-assets/code" }}
          CRM_ALERT_URLS={{ .Data.data.alert_urls | toJSON }}
          CRM_WRITEBACK_SECRET={{ .Data.data.writeback_secret | toJSON }}
          {{- end }}
        EOT
      }

      resources {
        cpu    = 2000
        memory = 4096
      }
    }
  }
}
