locals {
  # The lake's tables and reports, extracts that land, MLflow's models, and who read and wrote all that.
  data    = toset(["lake", "landing", "mlflow"])
  buckets = setunion(local.data, ["logs"])
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144:Everything in the lake is made again from the extracts, and those are the CRM's; a second region would double the price of storage.
  #checkov:skip=CKV2_AWS_62:Dagster's sensors look for what landed; nothing listens to events of a bucket.
  #checkov:skip=CKV_AWS_18:The three buckets of data log to the fourth, below; a log of the log's own writing would never end.
  #checkov:skip=CKV_AWS_145:Encrypted with the environment's key, but for the bucket of logs: balancers can write to none with a key.
  for_each = local.buckets

  bucket        = "${var.name}-${each.key}-${var.account_id}"
  force_destroy = var.removable
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = aws_s3_bucket.this

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    # One request to the key for many objects, and not one for each.
    bucket_key_enabled = contains(local.data, each.key)

    apply_server_side_encryption_by_default {
      sse_algorithm     = contains(local.data, each.key) ? "aws:kms" : "AES256"
      kms_master_key_id = contains(local.data, each.key) ? var.kms_key_arn : null
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  #checkov:skip=CKV_AWS_300:The first rule of every bucket does so after seven days; checkov loses it beside rules that a loop makes.
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.old_versions_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = each.key == "logs" ? ["logs"] : []

    content {
      id     = "logs"
      status = "Enabled"

      filter {}

      expiration {
        days = var.logs_days
      }
    }
  }

  # What Spark's jobs and runs hand each other (docs/grow.md): a run removes it, unless it was killed.
  dynamic "rule" {
    for_each = each.key == "lake" ? ["handed-over"] : []

    content {
      id     = "handed-over"
      status = "Enabled"

      filter {
        prefix = ".emr/"
      }

      expiration {
        days = 7
      }
    }
  }

  # Old months are read seldom. S3 itself leaves objects below 128 KB where they are.
  dynamic "rule" {
    for_each = each.key == "logs" ? [] : ["tiers"]

    content {
      id     = "tiers"
      status = "Enabled"

      filter {}

      transition {
        days          = 30
        storage_class = "INTELLIGENT_TIERING"
      }
    }
  }

  # Rules on old versions are refused while there are none.
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_logging" "this" {
  for_each = local.data

  bucket        = aws_s3_bucket.this[each.key].id
  target_bucket = aws_s3_bucket.this["logs"].id
  target_prefix = "${each.key}/"

  # Refused before the bucket of logs lets itself be written to.
  depends_on = [aws_s3_bucket_policy.this]
}

resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [for statement in local.log_writers : statement if each.key == "logs"],
      [
        {
          # What is denied may be named by a star: it makes the rule stricter.
          Sid       = "OnlyOverTls"
          Effect    = "Deny"
          Principal = { AWS = "*" }
          Action    = "s3:*"
          Resource  = [each.value.arn, "${each.value.arn}/*"]
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
        {
          Sid       = "OnlyNewTls"
          Effect    = "Deny"
          Principal = { AWS = "*" }
          Action    = "s3:*"
          Resource  = [each.value.arn, "${each.value.arn}/*"]
          Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
        },
      ],
    )
  })

  depends_on = [aws_s3_bucket_public_access_block.this]
}

locals {
  log_writers = [
    {
      Sid       = "BucketsOfThisEnvironment"
      Effect    = "Allow"
      Principal = { Service = "logging.s3.amazonaws.com" }
      Action    = "s3:PutObject"
      Resource  = "arn:aws:s3:::${var.name}-logs-${var.account_id}/*"
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = [for bucket in local.data : "arn:aws:s3:::${var.name}-${bucket}-${var.account_id}"] }
      }
    },
    {
      Sid       = "Balancer"
      Effect    = "Allow"
      Principal = { Service = "logdelivery.elasticloadbalancing.amazonaws.com" }
      Action    = "s3:PutObject"
      # The path says whose balancers: AWS puts the account's id into it, and does not say that it tells it besides.
      Resource = "arn:aws:s3:::${var.name}-logs-${var.account_id}/balancer/AWSLogs/${var.account_id}/*"
    },
  ]
}
