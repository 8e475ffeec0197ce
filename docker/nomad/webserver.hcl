# Dagster's webserver.

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
  default     = "loopback"
  description = "Network of the clients that the ports are bound to: this one has no login."
}

job "crm-assets-webserver" {
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

  group "webserver" {
    count = 1

    network {
      mode = "bridge"
      port "http" {
        static       = 3000
        to           = 3000
        host_network = var.host_network
      }
    }

    volume "dagster" {
      type   = "host"
      source = "crm-assets-dagster"
    }

    service {
      name     = "crm-assets-webserver"
      provider = "consul"
      port     = "3000"

      check {
        name     = "healthy"
        type     = "script"
        task     = "webserver"
        command  = "python"
        args     = ["/opt/crm/healthy.py", "webserver"]
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

    task "webserver" {
      driver = "docker"
      user   = "10001:10001"

      config {
        image           = "crm-assets:${var.image_tag}"
        command         = "dagster-webserver"
        args            = ["--host=0.0.0.0", "--port=3000", "--workspace=/opt/dagster/workspace.yaml"]
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
        role = "crm-assets-webserver"
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
