output "urls" {
  description = "Where people and programs go."
  value = {
    page    = local.with_page ? "https://${module.domain.names[""]}" : null
    api     = "https://${module.domain.names["api"]}/v1"
    dagster = "https://${module.domain.names["dagster"]}"
    mlflow  = "https://${module.domain.names["mlflow"]}"
  }
}

output "name_servers" {
  description = "What the domain above has to name as the servers of this one."
  value       = module.domain.name_servers
}

output "repository_url" {
  description = "Where images are pushed to."
  value       = local.repository_url
}

output "buckets" {
  description = "What a bucket is for -> its name; extracts land in landing, below crm/."
  value       = module.lake.names
}

output "key_arn" {
  description = "Key that everything at rest is encrypted with, for who else reads it."
  value       = module.encryption.key_arn
}

output "secret_arns" {
  description = "Secrets by name; api-keys and others are filled in by people."
  value       = module.secrets.arns
}

locals {
  by_hand = {
    for task in ["databases", "run"] : task => {
      cluster         = module.cluster.name
      task-definition = module.task[task].family
      launch-type     = "FARGATE"
      network-configuration = jsonencode({
        awsvpcConfiguration = {
          subnets        = module.network.task_subnet_ids
          securityGroups = [module.network.security_group_ids[task]]
          assignPublicIp = module.network.task_public_ip ? "ENABLED" : "DISABLED"
        }
      })
    }
  }
}

output "databases_task" {
  description = "What aws ecs run-task needs to make the two databases."
  value       = local.by_hand["databases"]
}

output "run_task" {
  description = "What aws ecs run-task needs to run a command of the platform, in the task that Dagster's runs are."
  value       = local.by_hand["run"]
}

output "api_release" {
  description = "What aws deploy create-deployment needs to release the API; null where ECS rolls it out by itself."
  value = var.blue_green ? {
    application     = module.api_release[0].application
    group           = module.api_release[0].application
    task_definition = module.task["api"].arn
    container       = "api"
    port            = local.ports.api
  } : null
}

output "github_role_arns" {
  description = "Roles that workflows name for planning and deploying."
  value       = var.github == null ? {} : module.github[0].role_arns
}

output "cluster_name" {
  description = "Cluster of all tasks."
  value       = module.cluster.name
}

output "log_groups" {
  description = "Task -> its log group."
  value       = { for task, definition in module.task : task => definition.log_group }
}
