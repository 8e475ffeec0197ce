output "environment" {
  description = "Settings by which Dagster's services start each run as a task of its own."
  value = {
    CRM_DAGSTER_RUN_LAUNCHER = "ecs"
    CRM_DAGSTER_RUNS_AT_ONCE = tostring(var.runs_at_once)
    CRM_ECS_TASK_DEFINITION  = var.task_definition
    CRM_ECS_CLUSTER          = var.cluster_name
    CRM_ECS_SUBNETS          = join(",", var.subnet_ids)
    CRM_ECS_SECURITY_GROUPS  = var.security_group_id
    CRM_ECS_PUBLIC_IP        = tostring(var.public_ip)
    CRM_ECS_RUN_SPOT         = tostring(var.spot)
  }
}
