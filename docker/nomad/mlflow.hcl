# MLflow's server.

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

job "crm-assets-mlflow" {
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

  group "mlflow" {
    count = 1

    network {
      mode = "bridge"
      port "http" {
        static       = 5000
        to           = 5000
        host_network = var.host_network
      }
    }

    service {
      name     = "crm-assets-mlflow"
      provider = "consul"
      port     = "5000"

      check {
        name     = "healthy"
        type     = "script"
        task     = "mlflow"
        command  = "python"
        args     = ["/opt/crm/healthy.py", "mlflow"]
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

    task "mlflow" {
      driver = "docker"
      user   = "10001:10001"

      config {
        image           = "crm-assets:${var.image_tag}"
        command         = "mlflow"
        args            = [
          "server",
          "--host=0.0.0.0",
          "--port=5000",
          "--workers=1",
          "--artifacts-destination=s3://mlflow",
          "--allowed-hosts=mlflow:5000,localhost:*,127.0.0.1:*",
        ]
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
        role = "crm-assets-mlflow"
      }

      env {
        AWS_ENDPOINT_URL_S3                = "http://127.0.0.1:9000"
        AWS_REGION                         = "us-east-1"
        AWS_EC2_METADATA_DISABLED          = "true"
        # Jobs are for evaluations of language models, and cost more than a gigabyte.
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION = "false"
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
          MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://crm:{{ .Data.data.password }}@127.0.0.1:5432/mlflow
          {{- end }}
        EOT
      }

      resources {
        cpu    = 500
        memory = 1500
      }
    }
  }
}
