# A role for each task, with what its program calls, and one for each of who fetches image and secrets for it, so that no
# task's secrets can be had by another's definition.

locals {
  ecs     = "arn:aws:ecs:${var.region}:${var.account_id}"
  cluster = "${local.ecs}:cluster/${var.name}"

  read_landing = [
    { Sid = "ListLanding", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.buckets.landing] },
    { Sid = "ReadLanding", Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${var.buckets.landing}/*"] },
  ]

  read_lake = [
    { Sid = "ListLake", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.buckets.lake] },
    { Sid = "ReadLake", Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${var.buckets.lake}/*"] },
  ]

  write_lake = [
    # Whoever was killed has left parts of a file, which are looked for and removed.
    { Sid = "FindParts", Effect = "Allow", Action = ["s3:ListBucketMultipartUploads"], Resource = [var.buckets.lake] },
    {
      Sid      = "WriteLake"
      Effect   = "Allow"
      Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"]
      Resource = ["${var.buckets.lake}/*"]
    },
  ]

  # What the API was asked is all it writes.
  write_predictions = [
    {
      Sid      = "WritePredictionLog"
      Effect   = "Allow"
      Action   = ["s3:PutObject"]
      Resource = ["${var.buckets.lake}/*/prediction_log/*"]
    },
  ]

  models = [
    { Sid = "ListModels", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.buckets.mlflow] },
    {
      Sid      = "KeepModels"
      Effect   = "Allow"
      Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
      Resource = ["${var.buckets.mlflow}/*"]
    },
  ]

  # Of the key, what S3 asks for in the name of whoever reads or writes an object, and nothing else.
  use_key_in_s3 = [
    {
      Sid       = "KeyInS3"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = [var.kms_key_arn]
      Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
    },
  ]

  look_at_runs = [
    {
      # This action knows no resources.
      Sid      = "KnowTaskDefinition"
      Effect   = "Allow"
      Action   = ["ecs:DescribeTaskDefinition"]
      Resource = ["*"]
    },
    {
      Sid       = "EndRuns"
      Effect    = "Allow"
      Action    = ["ecs:DescribeTasks", "ecs:StopTask"]
      Resource  = ["${local.ecs}:task/${var.name}/*"]
      Condition = { ArnEquals = { "ecs:cluster" = local.cluster } }
    },
  ]

  start_runs = [
    {
      Sid       = "StartRuns"
      Effect    = "Allow"
      Action    = ["ecs:RunTask"]
      Resource  = ["${local.ecs}:task-definition/${var.name}-run:*"]
      Condition = { ArnEquals = { "ecs:cluster" = local.cluster } }
    },
    {
      Sid       = "NameRuns"
      Effect    = "Allow"
      Action    = ["ecs:TagResource"]
      Resource  = ["${local.ecs}:task/${var.name}/*"]
      Condition = { StringEquals = { "ecs:CreateAction" = "RunTask" } }
    },
    {
      # Why a run's task ended is told with the last lines of its log.
      Sid      = "ReadLogsOfRuns"
      Effect   = "Allow"
      Action   = ["logs:GetLogEvents"]
      Resource = ["arn:aws:logs:${var.region}:${var.account_id}:log-group:/${var.name}/run:*"]
    },
    {
      Sid       = "HandOnRolesOfRuns"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = [aws_iam_role.task["run"].arn, aws_iam_role.execution["run"].arn]
      Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
    },
  ]

  spark = coalesce(var.spark, { application_arn = "", role_arn = "" })

  compute_on_spark = [for statement in local.job_statements : statement if var.spark != null]
  job_statements = [
    { Sid = "StartJobs", Effect = "Allow", Action = ["emr-serverless:GetApplication", "emr-serverless:StartJobRun"], Resource = [local.spark.application_arn] },
    {
      Sid      = "FollowJobs"
      Effect   = "Allow"
      Action   = ["emr-serverless:CancelJobRun", "emr-serverless:GetDashboardForJobRun", "emr-serverless:GetJobRun", "emr-serverless:TagResource"]
      Resource = ["${local.spark.application_arn}/jobruns/*"]
    },
    {
      Sid       = "HandOnRoleOfJobs"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = [local.spark.role_arn]
      Condition = { StringEquals = { "iam:PassedToService" = "emr-serverless.amazonaws.com" } }
    },
  ]

  make_months = concat(local.read_landing, local.read_lake, local.write_lake, local.use_key_in_s3, local.compute_on_spark)

  # Sensors look for extracts and note what they told; months are made by runs.
  look_for_work = concat(
    local.read_landing,
    local.read_lake,
    [{ Sid = "NoteWhatWasTold", Effect = "Allow", Action = ["s3:PutObject"], Resource = ["${var.buckets.lake}/*"] }],
    local.use_key_in_s3,
  )

  # Whether there is a value is told without reading it.
  make_secrets = [
    {
      Sid      = "MakeSecrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:DescribeSecret", "secretsmanager:PutSecretValue"]
      Resource = var.secrets_made
    },
    {
      Sid       = "KeyOfSecrets"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = [var.kms_key_arn]
      Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
    },
  ]

  # The page asks the API and nothing of AWS.
  allowed = {
    code      = jsonencode(local.look_for_work)
    run       = jsonencode(local.make_months)
    webserver = jsonencode(local.look_at_runs)
    daemon    = jsonencode(concat(local.look_at_runs, local.start_runs))
    mlflow    = jsonencode(concat(local.models, local.use_key_in_s3))
    databases = jsonencode(local.make_secrets)
    api       = jsonencode(concat(local.read_lake, local.write_predictions, local.use_key_in_s3))
  }

  trust_of_tasks = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "${local.ecs}:*" }
      }
    }]
  })
}

resource "aws_iam_role" "task" {
  for_each = var.tasks

  name                 = "${var.name}-${each.key}"
  description          = "What the program of ${each.key} may do"
  assume_role_policy   = local.trust_of_tasks
  permissions_boundary = var.boundary_arn
}

resource "aws_iam_role_policy" "task" {
  #checkov:skip=CKV_AWS_355:ecs:DescribeTaskDefinition knows no resources; every other statement names its own.
  for_each = setintersection(var.tasks, keys(local.allowed))

  name   = "calls"
  role   = aws_iam_role.task[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = jsondecode(local.allowed[each.key]) })
}

resource "aws_iam_role" "execution" {
  for_each = var.tasks

  name                 = "${var.name}-${each.key}-start"
  description          = "Fetches image and secrets for ${each.key} and writes its log"
  assume_role_policy   = local.trust_of_tasks
  permissions_boundary = var.boundary_arn
}

resource "aws_iam_role_policy" "execution" {
  #checkov:skip=CKV_AWS_355:ecr:GetAuthorizationToken knows no resources; every other statement names its own.
  for_each = var.tasks

  name = "start"
  role = aws_iam_role.execution[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          # This action knows no resources.
          Sid      = "EnterRegistry"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        },
        {
          Sid      = "FetchImage"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = [var.repository_arn]
        },
        {
          Sid      = "WriteLog"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["arn:aws:logs:${var.region}:${var.account_id}:log-group:/${var.name}/${each.key}:*"]
        },
      ],
      [
        for arns in [lookup(var.secret_arns, each.key, [])] : {
          Sid      = "FetchSecrets"
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue"]
          Resource = arns
        } if length(arns) > 0
      ],
      [
        for arns in [lookup(var.secret_arns, each.key, [])] : {
          Sid       = "KeyOfSecrets"
          Effect    = "Allow"
          Action    = ["kms:Decrypt"]
          Resource  = [var.kms_key_arn]
          Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
        } if length(arns) > 0
      ],
    )
  })
}
