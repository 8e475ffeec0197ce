module "identity" {
  source = "../identity"

  name           = local.name
  account_id     = local.account_id
  region         = local.region
  kms_key_arn    = module.encryption.key_arn
  buckets        = { lake = module.lake.arns["lake"], landing = module.lake.arns["landing"], mlflow = module.lake.arns["mlflow"] }
  boundary_arn   = module.boundary.arn
  repository_arn = local.repository_arn
  tasks          = local.tasks
  spark          = var.spark

  secrets_made = [for name in local.secrets_made : module.secrets.arns[name]]

  # Of a secret's ARN, without the key in it that a task may want.
  secret_arns = {
    for task in local.tasks : task => distinct([for secret in values(local.secrets[task]) : join(":", slice(split(":", secret), 0, 7))])
  }
}

module "cluster" {
  source = "../cluster"

  name           = local.name
  kms_key_arn    = module.encryption.key_arn
  retention_days = var.retention_days
  vpc_id         = module.network.vpc_id
  insights       = var.insights
  found_by_name  = local.found
}

module "run_launcher" {
  source = "../run_launcher"

  name         = local.name
  cluster_name = module.cluster.name
  # By its family: Dagster's launcher looks up the newest version of it once, as its process starts (see local.run_version).
  task_definition   = "${local.name}-run"
  subnet_ids        = module.network.task_subnet_ids
  security_group_id = module.network.security_group_ids["run"]
  public_ip         = module.network.task_public_ip
  spot              = var.spot.runs
  runs_at_once      = var.runs_at_once
  alarm_topic_arn   = module.watching.topic_arn
}

locals {
  namespace = module.cluster.namespace
  # Writes Dagster's configuration from the settings, as docker/Dockerfile does for the code location, and tells where that is.
  dagster = "python -m crm_assets.dagster_home && sed 's/host: code$/host: code.${local.namespace}/' /opt/dagster/workspace.yaml >/tmp/workspace.yaml && exec"

  commands = {
    webserver = ["sh", "-c", "${local.dagster} dagster-webserver --host=0.0.0.0 --port=3000 --workspace=/tmp/workspace.yaml"]
    daemon    = ["sh", "-c", "${local.dagster} dagster-daemon run --workspace=/tmp/workspace.yaml"]
    code      = null
    run       = null
    mlflow = [
      "mlflow", "server", "--host=0.0.0.0", "--port=5000", "--workers=1",
      "--artifacts-destination=s3://${module.lake.names["mlflow"]}",
      "--allowed-hosts=mlflow.${local.namespace}:5000,${module.domain.names["mlflow"]},localhost:*,127.0.0.1:*",
      "--cors-allowed-origins=https://${module.domain.names["mlflow"]}",
    ]
    api  = ["python", "-m", "crm_assets.serving"]
    page = ["python", "-m", "crm_assets.app"]
    databases = concat(
      ["python", "/opt/crm/make_databases.py", "dagster=${module.secrets.arns["dagster-database-url"]}", "mlflow=${module.secrets.arns["mlflow-database-url"]}"],
      local.with_page ? ["--random=${module.secrets.arns["page-cookie"]}"] : [],
    )
  }

  everywhere = {
    AWS_REGION         = local.region
    AWS_DEFAULT_REGION = local.region
    # The home of the image's user cannot be written to.
    HOME = "/tmp"
  }

  data_environment = merge(local.everywhere, {
    CRM_PROFILE             = "production"
    CRM_SOURCE_URL          = "s3://${module.lake.names["landing"]}/crm"
    CRM_LAKE_URL            = "s3://${module.lake.names["lake"]}"
    CRM_MLFLOW_TRACKING_URI = "http://mlflow.${local.namespace}:5000"
    CRM_MLFLOW_URL          = "https://${module.domain.names["mlflow"]}"
    CRM_DAGSTER_URL         = "https://${module.domain.names["dagster"]}"
  })

  spark = var.spark == null ? {} : {
    CRM_FEATURES_ON        = "emr-serverless"
    CRM_EMR_APPLICATION_ID = basename(var.spark.application_arn)
    CRM_EMR_ROLE_ARN       = var.spark.role_arn
  }

  dagster_environment = merge(local.data_environment, local.spark, var.settings)

  # What runs are made from. Whatever holds the launcher has it in its environment, and is replaced when it changes: it would
  # go on with the version that it found as it started.
  run_version = sha256(jsonencode([local.image, var.sizes.run, local.dagster_environment, local.secrets.run]))
  launcher    = merge(module.run_launcher.environment, { RUN_VERSION = local.run_version })

  sign_in = local.with_page ? {
    CRM_API_OIDC_ISSUER   = var.sign_in.issuer
    CRM_API_OIDC_AUDIENCE = var.sign_in.audience
  } : {}

  environments = {
    webserver = merge(local.dagster_environment, local.launcher)
    daemon    = merge(local.dagster_environment, local.launcher)
    code      = merge(local.dagster_environment, local.launcher)
    # A run starts no other.
    run = local.dagster_environment
    mlflow = merge(local.everywhere, {
      MLFLOW_SERVER_ENABLE_JOB_EXECUTION = "false"
    })
    api = merge(local.data_environment, local.sign_in, {
      CRM_HOME             = "/var/lib/crm/api"
      CRM_API_HOST         = "0.0.0.0"
      CRM_REQUIRE_SERVICES = "false"
      CRM_API_DAGSTER_URL  = "http://webserver.${local.namespace}:3000"
    })
    page = merge(local.everywhere, local.with_page ? {
      CRM_PROFILE            = "production"
      CRM_REQUIRE_SERVICES   = "false"
      CRM_LAKE_URL           = "s3://${module.lake.names["lake"]}"
      CRM_HOME               = "/tmp"
      CRM_APP_HOST           = "0.0.0.0"
      CRM_APP_API_URL        = "http://api.${local.namespace}:8000"
      CRM_APP_URL            = "https://${module.domain.names[""]}"
      CRM_API_OIDC_ISSUER    = var.sign_in.issuer
      CRM_APP_OIDC_CLIENT_ID = var.sign_in.client_id
      CRM_APP_OIDC_SCOPES    = var.sign_in.scopes
    } : {})
    databases = merge(local.everywhere, { DATABASE_HOST = module.database.host })
  }

  dagster_secrets = { CRM_DAGSTER_POSTGRES_URL = module.secrets.arns["dagster-database-url"] }
  given_secrets = merge(
    contains(var.secrets_given, "alert-urls") ? { CRM_ALERT_URLS = module.secrets.arns["alert-urls"] } : {},
    contains(var.secrets_given, "writeback-secret") ? { CRM_WRITEBACK_SECRET = module.secrets.arns["writeback-secret"] } : {},
  )

  secrets = {
    webserver = local.dagster_secrets
    daemon    = local.dagster_secrets
    code      = merge(local.dagster_secrets, local.given_secrets)
    run       = merge(local.dagster_secrets, local.given_secrets)
    mlflow    = { MLFLOW_BACKEND_STORE_URI = module.secrets.arns["mlflow-database-url"] }
    api       = { CRM_API_KEYS = module.secrets.arns["api-keys"] }
    page = local.with_page ? {
      CRM_APP_COOKIE_SECRET      = module.secrets.arns["page-cookie"]
      CRM_APP_OIDC_CLIENT_SECRET = module.secrets.arns["page-client-secret"]
    } : {}
    databases = {
      ADMIN_USER     = "${module.database.master_secret_arn}:username::"
      ADMIN_PASSWORD = "${module.database.master_secret_arn}:password::"
    }
  }

  checked  = toset(["webserver", "daemon", "code", "mlflow", "api", "page"])
  dagsters = toset(["webserver", "daemon", "code", "run"])
}

module "task" {
  source   = "../task"
  for_each = toset(local.tasks)

  name               = local.name
  role               = each.key
  region             = local.region
  kms_key_arn        = module.encryption.key_arn
  retention_days     = var.retention_days
  image              = local.image
  command            = local.commands[each.key]
  cpu                = each.key == "databases" ? 256 : var.sizes[each.key].cpu
  memory             = each.key == "databases" ? 512 : var.sizes[each.key].memory
  port               = lookup(local.ports, each.key, null)
  health_check       = contains(local.checked, each.key) ? ["python", "/opt/crm/healthy.py", each.key] : null
  environment        = local.environments[each.key]
  secrets            = local.secrets[each.key]
  writable           = concat(["/tmp"], contains(local.dagsters, each.key) ? ["/var/lib/crm/dagster"] : [], each.key == "api" ? ["/var/lib/crm/api"] : [])
  stop_seconds       = contains(["api", "run"], each.key) ? 60 : 30
  task_role_arn      = module.identity.task_role_arns[each.key]
  execution_role_arn = module.identity.execution_role_arns[each.key]
}
