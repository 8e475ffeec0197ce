# Dagster's daemon: sensors, schedules and the queue of runs. Never two at once.

variable "datacenters" {
  type    = list(string)
  default = ["dc1"]
}

variable "image_tag" {
  type        = string
  default     = "0.1.0"
  description = "Tag of the image that docker/Dockerfile makes; put the registry before crm-assets where there is one."
}

job "crm-assets-daemon" {
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

  group "daemon" {
    count = 1

    network {
      mode = "bridge"
    }

    volume "dagster" {
      type   = "host"
      source = "crm-assets-dagster"
    }

    service {
      name     = "crm-assets-daemon"
      provider = "consul"

      check {
        name     = "healthy"
        type     = "script"
        task     = "daemon"
        command  = "python"
        args     = ["/opt/crm/healthy.py", "daemon"]
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
              destination_name = "crm-assets-code"
              local_bind_port  = 4000
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

    task "daemon" {
      driver = "docker"
      user   = "10001:10001"

      config {
        image           = "crm-assets:${var.image_tag}"
        command         = "dagster-daemon"
        args            = ["run", "--workspace=/opt/dagster/workspace.yaml"]
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

        mount {
          type     = "bind"
          source   = "local/workspace.yaml"
          target   = "/opt/dagster/workspace.yaml"
          readonly = true
        }
      }

      volume_mount {
        volume      = "dagster"
        destination = "/var/lib/crm/dagster"
      }

      vault {
        role = "crm-assets-daemon"
      }

      template {
        destination = "secrets/crm.env"
        env         = true
        data        = <<-EOT
          {{- with secret "secret/data/crm-assets/postgres" }}
          CRM_DAGSTER_POSTGRES_URL=postgresql+psycopg2://crm:{{ .Data.data.password }}@127.0.0.1:5432/dagster
          {{- end }}
        EOT
      }

      template {
        destination = "local/workspace.yaml"
        data        = <<-EOT
          load_from:
            - grpc_server:
                host: 127.0.0.1
                port: 4000
                location_name: crm_assets
        EOT
      }

      resources {
        cpu    = 300
        memory = 1024
      }
    }
  }
}
