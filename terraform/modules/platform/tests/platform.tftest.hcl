mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_region" {
    defaults = { name = "us-east-1" }
  }

  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1a", "us-east-1b", "us-east-1c"] }
  }
}

variables {
  environment    = "dev"
  domain         = "dev.crm.example.com"
  image_digest   = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  running        = true
  operator_cidrs = ["203.0.113.0/24"]
  mail_addresses = ["operations@example.com"]
  budget_dollars = 100
  network        = { cidr = "10.20.0.0/16", zones = 2, nat_gateways = 0 }
  database       = { instance_class = "db.t4g.micro", storage_gb = 20, second_zone = false, backup_days = 1 }
  sizes = {
    webserver = { cpu = 256, memory = 1024 }
    daemon    = { cpu = 256, memory = 1024 }
    code      = { cpu = 512, memory = 1024 }
    run       = { cpu = 1024, memory = 4096 }
    mlflow    = { cpu = 256, memory = 1024 }
    api       = { cpu = 256, memory = 1024 }
    page      = { cpu = 256, memory = 1024 }
  }
  scale          = { api = { min = 1, max = 2 }, page = { min = 1, max = 1 } }
  runs_at_once   = 2
  spot           = { services = true, runs = true }
  blue_green     = false
  firewall       = false
  insights       = false
  retention_days = 14
  removable      = true
  sign_in        = { issuer = "https://id.example.com", audience = "crm", client_id = "page" }
}

run "every_service_of_compose_but_those_that_aws_has" {
  command = plan

  assert {
    condition     = sort(keys(module.service)) == tolist(["api", "code", "daemon", "mlflow", "page", "webserver"])
    error_message = "A service is missing."
  }

  assert {
    condition     = sort(keys(module.task)) == tolist(["api", "code", "daemon", "databases", "mlflow", "page", "run", "webserver"])
    error_message = "A task is missing."
  }

  assert {
    condition     = output.urls == { page = "https://dev.crm.example.com", api = "https://api.dev.crm.example.com/v1", dagster = "https://dagster.dev.crm.example.com", mlflow = "https://mlflow.dev.crm.example.com" }
    error_message = "Addresses are others."
  }

  assert {
    condition     = local.secrets["api"] != null && !contains(keys(local.secrets["page"]), "CRM_DAGSTER_POSTGRES_URL") && length(setintersection(keys(local.environments["api"]), keys(local.secrets["api"]))) == 0
    error_message = "A secret goes where it does not belong."
  }

  assert {
    condition     = alltrue([for flow in local.flows : flow.to != "database" || contains(["webserver", "daemon", "code", "run", "mlflow", "databases"], flow.from)])
    error_message = "The API or the page reaches the database."
  }
}

run "what_holds_the_launcher_is_replaced_with_what_runs_are_made_from" {
  command = plan

  variables {
    image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
  }

  override_module {
    target  = module.registry
    outputs = { url = "registry.example.com/crm-assets", arn = "arn:aws:ecr:us-east-1:123456789012:repository/crm-assets" }
  }

  override_module {
    target = module.secrets
    outputs = {
      arns = { for name in ["dagster-database-url", "mlflow-database-url", "page-cookie", "api-keys", "page-client-secret"] : name => "arn:aws:secretsmanager:us-east-1:123456789012:secret:${name}" }
    }
  }

  assert {
    condition = alltrue([
      for task in ["webserver", "daemon", "code"] : local.environments[task].RUN_VERSION == sha256(jsonencode([local.image, var.sizes.run, local.dagster_environment, local.secrets.run]))
    ])
    error_message = "The launcher goes on with the version of a run that it found as it started."
  }

  assert {
    condition     = !contains(keys(local.environments.run), "RUN_VERSION")
    error_message = "A run's definition waits for itself."
  }
}

run "without_an_issuer_there_is_no_page" {
  command = plan

  variables {
    sign_in = null
  }

  assert {
    condition     = !contains(keys(module.service), "page") && output.urls.page == null
    error_message = "There is a page that nobody can sign in to."
  }
}

run "before_it_runs_everything_else_is_there" {
  command = plan

  variables {
    running      = false
    image_digest = null
  }

  assert {
    condition     = length(module.service) == 0 && length(module.task) == 8 && length(module.scaling) == 0
    error_message = "Services wait for an image that is not there."
  }
}

run "blue_and_green" {
  command = plan

  variables {
    blue_green = true
  }

  assert {
    condition     = output.api_release.group == "crm-assets-dev-api" && length(module.api_release) == 1
    error_message = "There is nobody to release the API."
  }
}

run "nothing_runs_without_an_image" {
  command = plan

  variables {
    running      = true
    image_digest = null
  }

  expect_failures = [var.running]
}

run "an_image_is_named_by_its_digest" {
  command = plan

  variables {
    image_digest = "latest"
  }

  expect_failures = [var.image_digest]
}

run "an_issuer_has_tls" {
  command = plan

  variables {
    sign_in = { issuer = "http://id.example.com", audience = "crm", client_id = "page" }
  }

  expect_failures = [var.sign_in]
}

run "features_on_spark" {
  command = plan

  variables {
    spark = {
      application_arn = "arn:aws:emr-serverless:us-east-1:123456789012:/applications/00f1a2b3c4d5e6f7"
      role_arn        = "arn:aws:iam::123456789012:role/crm-assets-features-dev"
    }
  }

  assert {
    condition     = local.environments["run"].CRM_EMR_APPLICATION_ID == "00f1a2b3c4d5e6f7" && local.environments["run"].CRM_FEATURES_ON == "emr-serverless"
    error_message = "Runs do not know where features are computed."
  }
}

run "spark_is_named_by_its_arn" {
  command = plan

  variables {
    spark = { application_arn = "00f1a2b3c4d5e6f7", role_arn = "arn:aws:iam::123456789012:role/features" }
  }

  expect_failures = [var.spark]
}

run "a_role_that_people_made_is_out_of_reach_of_deployments" {
  command = plan

  variables {
    spark = {
      application_arn = "arn:aws:emr-serverless:us-east-1:123456789012:/applications/00f1a2b3c4d5e6f7"
      role_arn        = "arn:aws:iam::123456789012:role/crm-assets-dev-features"
    }
  }

  expect_failures = [var.spark]
}

run "settings_are_the_platforms" {
  command = plan

  variables {
    settings = { PATH = "/tmp" }
  }

  expect_failures = [var.settings]
}

run "secrets_are_known" {
  command = plan

  variables {
    secrets_given = ["other"]
  }

  expect_failures = [var.secrets_given]
}

run "users_come_from_addresses" {
  command = plan

  variables {
    user_cidrs = ["anywhere"]
  }

  expect_failures = [var.user_cidrs]
}
