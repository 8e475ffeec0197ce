# The most that a role of this environment can ever do, whatever its policies say. A workflow that deploys may make and
# change roles only within it, and may not change it: a role with more rights cannot be had from there. The role by which
# RDS measures has none, for it comes before the password that is named here; who deploys cannot change what it may do.

locals {
  place = "${var.region}:${var.account_id}"

  data = {
    Sid    = "Data"
    Effect = "Allow"
    Action = [
      "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:ListBucketMultipartUploads",
      "s3:PutObject",
    ]
    Resource = ["arn:aws:s3:::${var.name}-*"]
  }

  secrets = {
    Sid    = "Secrets"
    Effect = "Allow"
    Action = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
    # RDS names the master password's itself.
    Resource = ["arn:aws:secretsmanager:${local.place}:secret:${var.name}/*", var.master_secret_arn]
  }

  key = {
    Sid      = "Key"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = [var.kms_key_arn]
  }

  logs = {
    Sid      = "Logs"
    Effect   = "Allow"
    Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:GetLogEvents", "logs:PutLogEvents"]
    Resource = ["arn:aws:logs:${local.place}:log-group:/${var.name}/*"]
  }

  image = {
    Sid      = "Image"
    Effect   = "Allow"
    Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    Resource = [var.repository_arn]
  }

  tasks = {
    Sid    = "Tasks"
    Effect = "Allow"
    Action = [
      "ecs:DeleteTaskSet", "ecs:DescribeServices", "ecs:DescribeTasks", "ecs:RunTask", "ecs:StopTask", "ecs:TagResource",
      "ecs:UpdateServicePrimaryTaskSet",
    ]
    Resource = [
      "arn:aws:ecs:${local.place}:service/${var.name}/*", "arn:aws:ecs:${local.place}:task/${var.name}/*",
      "arn:aws:ecs:${local.place}:task-definition/${var.name}-*", "arn:aws:ecs:${local.place}:task-set/${var.name}/*",
    ]
  }

  requests = {
    Sid    = "Requests"
    Effect = "Allow"
    Action = ["elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyRule"]
    Resource = [
      "arn:aws:elasticloadbalancing:${local.place}:listener/app/${var.name}/*",
      "arn:aws:elasticloadbalancing:${local.place}:listener-rule/app/${var.name}/*",
    ]
  }

  unnamed = {
    # These actions know no resources, and how CodeDeploy asks for alarms is not written down (modules/api_release).
    Sid    = "NamesNoResources"
    Effect = "Allow"
    Action = [
      "cloudwatch:DescribeAlarms", "ecr:GetAuthorizationToken", "ecs:CreateTaskSet", "ecs:DescribeTaskDefinition",
      "elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeRules",
      "elasticloadbalancing:DescribeTargetGroups", "logs:DescribeLogGroups",
    ]
    Resource = ["*"]
  }

  roles = {
    Sid      = "HandOnRoles"
    Effect   = "Allow"
    Action   = ["iam:PassRole"]
    Resource = concat(["arn:aws:iam::${var.account_id}:role/${var.name}-*"], [for spark in var.spark[*] : spark.role_arn])
  }

  jobs = [
    for spark in var.spark[*] : {
      Sid    = "Jobs"
      Effect = "Allow"
      Action = [
        "emr-serverless:CancelJobRun", "emr-serverless:GetApplication", "emr-serverless:GetDashboardForJobRun",
        "emr-serverless:GetJobRun", "emr-serverless:StartJobRun", "emr-serverless:TagResource",
      ]
      Resource = [spark.application_arn, "${spark.application_arn}/jobruns/*"]
    }
  ]
}

resource "aws_iam_policy" "this" {
  #checkov:skip=CKV_AWS_355:The last of these know no resources; a boundary gives nothing, and every role's own policy names its own.
  #checkov:skip=CKV_AWS_288:A boundary gives nothing; which role reads which data and secrets is said in its own policy.
  #checkov:skip=CKV_AWS_290:A boundary gives nothing; which role writes what is said in its own policy.
  name        = "${var.name}-boundary"
  description = "The most that a role of ${var.name} can do, whatever its policies say"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [local.data, local.secrets, local.key, local.logs, local.image, local.tasks, local.requests, local.unnamed, local.roles],
      local.jobs,
    )
  })
}
