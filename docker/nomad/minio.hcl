# S3, from the image that docker/minio.Dockerfile makes. Its host volume ties it to one client.

variable "datacenters" {
  type    = list(string)
  default = ["dc1"]
}

variable "host_network" {
  type        = string
  default     = "loopback"
  description = "Network of the clients that the ports are bound to: this one has no login."
}

job "crm-assets-minio" {
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

  group "minio" {
    count = 1

    network {
      mode = "bridge"
      port "s3" {
        static       = 9000
        to           = 9000
        host_network = var.host_network
      }
      port "console" {
        static       = 9001
        to           = 9001
        host_network = var.host_network
      }
    }

    volume "objects" {
      type   = "host"
      source = "crm-assets-objects"
    }

    service {
      name     = "crm-assets-minio"
      provider = "consul"
      port     = "9000"

      check {
        name     = "healthy"
        type     = "script"
        task     = "minio"
        command  = "mc"
        args     = ["ready", "local"]
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

    task "minio" {
      driver = "docker"
      user   = "10001:10001"

      config {
        image           = "crm-assets-minio:RELEASE.2025-09-07T16-13-09Z"
        ports           = ["s3", "console"]
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
        volume      = "objects"
        destination = "/objects"
      }

      vault {
        role = "crm-assets-minio"
      }

      template {
        destination = "secrets/crm.env"
        env         = true
        data        = <<-EOT
          {{- with secret "secret/data/crm-assets/s3" }}
          MINIO_ROOT_USER={{ .Data.data.access_key }}
          MINIO_ROOT_PASSWORD={{ .Data.data.secret_key }}
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
