# PostgreSQL, for Dagster's records and MLflow's. Its host volume ties it to one client.

variable "datacenters" {
  type    = list(string)
  default = ["dc1"]
}

job "crm-assets-postgres" {
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

  group "postgres" {
    count = 1

    network {
      mode = "bridge"
    }

    volume "postgres" {
      type   = "host"
      source = "crm-assets-postgres"
    }

    service {
      name     = "crm-assets-postgres"
      provider = "consul"
      port     = "5432"

      check {
        name     = "healthy"
        type     = "script"
        task     = "postgres"
        command  = "pg_isready"
        args     = ["--host=127.0.0.1", "--username=crm", "--dbname=mlflow"]
        interval = "30s"
        timeout  = "10s"

        check_restart {
          limit = 3
          grace = "2m"
        }
      }

      connect {
        sidecar_service {}
      }
    }

    restart {
      # What it needs may start later than it.
      attempts = 10
      interval = "10m"
      delay    = "15s"
      mode     = "delay"
    }

    task "postgres" {
      driver       = "docker"
      user         = "postgres"
      kill_timeout = "1m"

      config {
        image           = "postgres:17.6-bookworm"
        init            = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges:true"]
        readonly_rootfs = true
        shm_size        = 134217728

        mount {
          type   = "tmpfs"
          target = "/tmp"
          tmpfs_options {
            size = 67108864
          }
        }

        mount {
          type   = "tmpfs"
          target = "/run/postgresql"
          tmpfs_options {
            size = 1048576
          }
        }

        mount {
          type     = "bind"
          source   = "local/databases.sql"
          target   = "/docker-entrypoint-initdb.d/databases.sql"
          readonly = true
        }
      }

      volume_mount {
        volume      = "postgres"
        destination = "/var/lib/postgresql/data"
      }

      vault {
        role = "crm-assets-postgres"
      }

      env {
        POSTGRES_USER = "crm"
        POSTGRES_DB   = "dagster"
      }

      template {
        destination = "secrets/crm.env"
        env         = true
        data        = <<-EOT
          {{- with secret "secret/data/crm-assets/postgres" }}
          POSTGRES_PASSWORD={{ .Data.data.password }}
          {{- end }}
        EOT
      }

      template {
        destination = "local/databases.sql"
        change_mode = "noop"
        data        = <<-EOT
          -- Run once, when PostgreSQL's volume is empty. Dagster's own database is POSTGRES_DB.
          CREATE DATABASE mlflow;
        EOT
      }

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
