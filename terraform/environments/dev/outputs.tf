output "urls" {
  description = "Where people and programs go."
  value       = module.platform.urls
}

output "name_servers" {
  description = "What the domain above has to name as the servers of this one."
  value       = module.platform.name_servers
}

output "repository_url" {
  description = "Where images are pushed to."
  value       = module.platform.repository_url
}

output "buckets" {
  description = "What a bucket is for -> its name."
  value       = module.platform.buckets
}

output "key_arn" {
  description = "Key that everything at rest is encrypted with, for who else reads it."
  value       = module.platform.key_arn
}

output "secret_arns" {
  description = "Secrets by name."
  value       = module.platform.secret_arns
}

output "databases_task" {
  description = "What aws ecs run-task needs to make the two databases."
  value       = module.platform.databases_task
}

output "run_task" {
  description = "What aws ecs run-task needs to run a command of the platform, in the task that Dagster's runs are."
  value       = module.platform.run_task
}

output "api_release" {
  description = "What aws deploy create-deployment needs to release the API; null where ECS rolls it out by itself."
  value       = module.platform.api_release
}

output "github_role_arns" {
  description = "Roles that workflows name for planning and deploying."
  value       = module.platform.github_role_arns
}

output "cluster_name" {
  description = "Cluster of all tasks."
  value       = module.platform.cluster_name
}

output "log_groups" {
  description = "Task -> its log group."
  value       = module.platform.log_groups
}
