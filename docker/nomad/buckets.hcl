# Makes the buckets, and ends.

variable "datacenters" {
  type    = list(string)
  default = ["dc1"]
}

variable "image_tag" {
  type        = string
  default     = "0.1.0"
  description = "Tag of the image that docker/Dockerfile makes; put the registry before crm-assets where there is one."
}

job "crm-assets-buckets" {
  type        = "batch"
  datacenters = var.datacenters

  group "buckets" {
    count = 1

    network {
      mode = "bridge"
    }

    service {
      name     = "crm-assets-buckets"
      provider = "consul"

      connect {
        sidecar_service {
          proxy {
            upstreams {
              destination_name = "crm-assets-minio"
              local_bind_port  = 9000
            }
          }
        }
      }
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "15s"
      mode     = "fail"
    }

    task "buckets" {
      driver = "docker"
      user   = "10001:10001"

      config {
        image           = "crm-assets:${var.image_tag}"
        command         = "python"
        args            = ["/opt/crm/make_buckets.py", "landing", "lake", "mlflow"]
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
        role = "crm-assets-buckets"
      }

      env {
        AWS_ENDPOINT_URL_S3       = "http://127.0.0.1:9000"
        AWS_REGION                = "us-east-1"
        AWS_EC2_METADATA_DISABLED = "true"
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

      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
