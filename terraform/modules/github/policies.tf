# What Terraform asks to read these resources, and to change them, written out: nothing that AWS adds comes with it unseen.
# "*" stands where a resource has no name that is known beforehand, as ids of a network, or where the action knows none; all
# of these are of one account, which is to hold one environment. What is changed or removed is told by its tag.

locals {
  policies = {
    look = {
      about = "Reads what the network, the balancer and the database are"
      plan  = true
      statements = [
        {
          Sid    = "NamesNoResources"
          Effect = "Allow"
          Action = [
            "acm:DescribeCertificate", "acm:ListTagsForCertificate",
            "application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies",
            "application-autoscaling:ListTagsForResource",
            "cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource",
            "ec2:DescribeAddresses", "ec2:DescribeAddressesAttribute", "ec2:DescribeAvailabilityZones", "ec2:DescribeFlowLogs",
            "ec2:DescribeInternetGateways", "ec2:DescribeNatGateways", "ec2:DescribeNetworkAcls",
            "ec2:DescribeNetworkInterfaces", "ec2:DescribePrefixLists", "ec2:DescribeRouteTables",
            "ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
            "ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints", "ec2:DescribeVpcs",
            "ecs:DescribeTaskDefinition",
            "elasticloadbalancing:DescribeCapacityReservation", "elasticloadbalancing:DescribeListenerAttributes",
            "elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeLoadBalancerAttributes",
            "elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeRules",
            "elasticloadbalancing:DescribeTags", "elasticloadbalancing:DescribeTargetGroupAttributes",
            "elasticloadbalancing:DescribeTargetGroups",
            "logs:DescribeLogGroups", "logs:DescribeMetricFilters",
            "route53:GetChange", "route53:GetHostedZone", "route53:ListResourceRecordSets", "route53:ListTagsForResource",
            "servicediscovery:GetNamespace", "servicediscovery:GetOperation", "servicediscovery:GetService",
            "servicediscovery:ListTagsForResource",
            "sns:GetSubscriptionAttributes", "sts:GetCallerIdentity",
            "wafv2:GetLoggingConfiguration", "wafv2:GetWebACL", "wafv2:GetWebACLForResource", "wafv2:ListTagsForResource",
          ]
          Resource = ["*"]
        },
        {
          # The provider asks for the one whose resource id it has, by a filter, and that is asking for all of them.
          Sid      = "Databases"
          Effect   = "Allow"
          Action   = ["rds:DescribeDBInstances"]
          Resource = ["arn:aws:rds:${local.place}:db:*"]
        },
      ]
    }
    read = {
      about = "Reads this environment's other resources, and the state"
      plan  = true
      statements = [
        {
          Sid    = "State"
          Effect = "Allow"
          Action = ["s3:GetObject", "s3:ListBucket"]
          Resource = [
            "arn:aws:s3:::${var.state_bucket}", "arn:aws:s3:::${var.state_bucket}/${var.environment}/*",
          ]
        },
        {
          Sid      = "KeyOfState"
          Effect   = "Allow"
          Action   = ["kms:Decrypt"]
          Resource = [var.state_key_arn]
        },
        {
          Sid    = "BucketsButNoObjects"
          Effect = "Allow"
          Action = [
            "s3:GetAccelerateConfiguration", "s3:GetBucketAcl", "s3:GetBucketCORS", "s3:GetBucketLogging",
            "s3:GetBucketObjectLockConfiguration", "s3:GetBucketOwnershipControls", "s3:GetBucketPolicy",
            "s3:GetBucketPublicAccessBlock", "s3:GetBucketRequestPayment", "s3:GetBucketTagging",
            "s3:GetBucketVersioning", "s3:GetBucketWebsite", "s3:GetEncryptionConfiguration",
            "s3:GetLifecycleConfiguration", "s3:GetReplicationConfiguration", "s3:ListBucket",
          ]
          Resource = ["arn:aws:s3:::${var.name}-*"]
        },
        {
          Sid    = "OfThisEnvironment"
          Effect = "Allow"
          Action = [
            "budgets:ListTagsForResource", "budgets:ViewBudget",
            "codedeploy:GetApplication", "codedeploy:GetDeploymentGroup", "codedeploy:ListTagsForResource",
            "ecr:DescribeRepositories", "ecr:GetLifecyclePolicy", "ecr:ListTagsForResource",
            "ecs:DescribeClusters", "ecs:DescribeServices",
            "events:DescribeRule", "events:ListTagsForResource", "events:ListTargetsByRule",
            "iam:GetOpenIDConnectProvider", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "iam:GetRolePolicy",
            "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListPolicyVersions",
            "iam:ListRolePolicies",
            "kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags",
            "logs:ListTagsForResource",
            "rds:DescribeDBParameterGroups", "rds:DescribeDBParameters", "rds:DescribeDBSubnetGroups",
            "rds:ListTagsForResource",
            "secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy",
            "sns:GetTopicAttributes", "sns:ListTagsForResource",
          ]
          Resource = local.own
        },
        {
          # An alias is found in the list of all.
          Sid      = "Aliases"
          Effect   = "Allow"
          Action   = ["kms:ListAliases"]
          Resource = ["*"]
        },
      ]
    }
    network = {
      about = "Changes network, balancer, certificate and addresses"
      plan  = false
      statements = [
        {
          # What is made has no name and no tag before it is there.
          Sid    = "NamesNotKnownBeforehand"
          Effect = "Allow"
          Action = [
            "acm:AddTagsToCertificate", "acm:RequestCertificate",
            "ec2:AllocateAddress", "ec2:CreateFlowLogs", "ec2:CreateInternetGateway", "ec2:CreateNatGateway",
            "ec2:CreateRouteTable", "ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateVpc", "ec2:CreateVpcEndpoint",
            "route53:ChangeTagsForResource", "route53:CreateHostedZone",
            "servicediscovery:CreatePrivateDnsNamespace", "servicediscovery:CreateService", "servicediscovery:TagResource",
            "servicediscovery:UntagResource",
          ]
          Resource = ["*"]
          # The key to it is the region: nothing of another one is made.
          Condition = { StringEquals = { "aws:RequestedRegion" = [var.region, "us-east-1"] } }
        },
        {
          # Cloud Map makes its zone with the rights of who asks for a namespace.
          Sid      = "ZoneOfNamespace"
          Effect   = "Allow"
          Action   = ["ec2:DescribeRegions", "route53:ListHostedZonesByName"]
          Resource = ["*"]
        },
        {
          # What is made may be tagged as it is made, or whatever has another environment's tag could be given this one's.
          Sid       = "TagWhatIsMade"
          Effect    = "Allow"
          Action    = ["ec2:CreateTags"]
          Resource  = ["arn:aws:ec2:${local.place}:*/*"]
          Condition = { Null = { "ec2:CreateAction" = "false" } }
        },
        {
          # A rule has no tag before it is there; its group has, which the next statement looks at.
          Sid      = "RulesOfGroups"
          Effect   = "Allow"
          Action   = ["ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress"]
          Resource = ["arn:aws:ec2:${local.place}:security-group-rule/*"]
        },
        {
          # All that is changed or removed has the tag of this environment, which the provider gives it as it makes it.
          Sid    = "OfThisEnvironmentByItsTag"
          Effect = "Allow"
          Action = [
            "acm:DeleteCertificate",
            "ec2:AssociateRouteTable", "ec2:AttachInternetGateway", "ec2:AuthorizeSecurityGroupEgress",
            "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateRoute", "ec2:CreateTags", "ec2:DeleteFlowLogs",
            "ec2:DeleteInternetGateway", "ec2:DeleteNatGateway", "ec2:DeleteRoute", "ec2:DeleteRouteTable",
            "ec2:DeleteSecurityGroup", "ec2:DeleteSubnet", "ec2:DeleteTags", "ec2:DeleteVpc",
            "ec2:DeleteVpcEndpoints", "ec2:DetachInternetGateway", "ec2:DisassociateAddress",
            "ec2:DisassociateRouteTable", "ec2:ModifySecurityGroupRules", "ec2:ModifySubnetAttribute",
            "ec2:ModifyVpcAttribute", "ec2:ModifyVpcEndpoint", "ec2:ReleaseAddress", "ec2:ReplaceRoute",
            "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress",
            "servicediscovery:DeleteNamespace", "servicediscovery:DeleteService", "servicediscovery:UpdateService",
          ]
          Resource  = ["*"]
          Condition = { StringEquals = { "aws:ResourceTag/environment" = var.environment } }
        },
        {
          Sid      = "Zones"
          Effect   = "Allow"
          Action   = ["route53:ChangeResourceRecordSets", "route53:DeleteHostedZone"]
          Resource = [for zone in var.zone_ids : "arn:aws:route53:::hostedzone/${zone}"]
        },
        {
          Sid    = "Balancer"
          Effect = "Allow"
          Action = [
            "elasticloadbalancing:AddTags", "elasticloadbalancing:CreateListener", "elasticloadbalancing:CreateLoadBalancer",
            "elasticloadbalancing:CreateRule", "elasticloadbalancing:CreateTargetGroup",
            "elasticloadbalancing:DeleteListener", "elasticloadbalancing:DeleteLoadBalancer",
            "elasticloadbalancing:DeleteRule", "elasticloadbalancing:DeleteTargetGroup",
            "elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyListenerAttributes",
            "elasticloadbalancing:ModifyLoadBalancerAttributes", "elasticloadbalancing:ModifyRule",
            "elasticloadbalancing:ModifyTargetGroup", "elasticloadbalancing:ModifyTargetGroupAttributes",
            "elasticloadbalancing:RemoveTags", "elasticloadbalancing:SetRulePriorities",
            "elasticloadbalancing:SetSecurityGroups", "elasticloadbalancing:SetSubnets",
            "wafv2:AssociateWebACL", "wafv2:CreateWebACL", "wafv2:DeleteLoggingConfiguration", "wafv2:DeleteWebACL",
            "wafv2:DisassociateWebACL", "wafv2:PutLoggingConfiguration", "wafv2:TagResource", "wafv2:UntagResource",
            "wafv2:UpdateWebACL",
          ]
          Resource = [
            "arn:aws:elasticloadbalancing:${local.place}:loadbalancer/app/${var.name}/*",
            "arn:aws:elasticloadbalancing:${local.place}:listener/app/${var.name}/*",
            "arn:aws:elasticloadbalancing:${local.place}:listener-rule/app/${var.name}/*",
            "arn:aws:elasticloadbalancing:${local.place}:targetgroup/${var.name}-*",
            "arn:aws:wafv2:${local.place}:regional/webacl/${var.name}/*",
            "arn:aws:wafv2:${local.place}:regional/managedruleset/*",
          ]
        },
      ]
    }
    change = {
      about = "Changes this environment's other resources, and the state"
      plan  = false
      statements = [
        {
          Sid      = "State"
          Effect   = "Allow"
          Action   = ["s3:PutObject"]
          Resource = ["arn:aws:s3:::${var.state_bucket}/${var.environment}/terraform.tfstate"]
        },
        {
          Sid      = "LockOfState"
          Effect   = "Allow"
          Action   = ["s3:DeleteObject", "s3:PutObject"]
          Resource = ["arn:aws:s3:::${var.state_bucket}/${var.environment}/terraform.tfstate.tflock"]
        },
        {
          Sid      = "KeyOfState"
          Effect   = "Allow"
          Action   = ["kms:GenerateDataKey"]
          Resource = [var.state_key_arn]
        },
        {
          Sid    = "BucketsButNoObjects"
          Effect = "Allow"
          Action = [
            "s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:PutBucketLogging",
            "s3:PutBucketOwnershipControls", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging",
            "s3:PutBucketVersioning", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration",
          ]
          Resource = ["arn:aws:s3:::${var.name}-*"]
        },
        {
          Sid    = "OfThisEnvironment"
          Effect = "Allow"
          Action = [
            "budgets:ModifyBudget", "budgets:TagResource",
            "cloudwatch:DeleteAlarms", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource",
            "codedeploy:CreateApplication", "codedeploy:CreateDeployment", "codedeploy:CreateDeploymentGroup",
            "codedeploy:DeleteApplication", "codedeploy:DeleteDeploymentGroup", "codedeploy:GetApplicationRevision",
            "codedeploy:GetDeployment", "codedeploy:GetDeploymentConfig", "codedeploy:RegisterApplicationRevision",
            "codedeploy:TagResource", "codedeploy:UpdateDeploymentGroup",
            "ecs:CreateCluster", "ecs:CreateService", "ecs:DeleteCluster", "ecs:DeleteService",
            "ecs:PutClusterCapacityProviders", "ecs:TagResource", "ecs:UntagResource", "ecs:UpdateCluster",
            "ecs:UpdateService",
            "events:DeleteRule", "events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:TagResource",
            "logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:DeleteMetricFilter", "logs:PutMetricFilter",
            "logs:PutRetentionPolicy", "logs:TagResource", "logs:UntagResource", "logs:AssociateKmsKey",
            # A database is changed here, and made, restored and removed by people.
            "rds:AddTagsToResource", "rds:CreateDBParameterGroup", "rds:CreateDBSubnetGroup",
            "rds:DeleteDBParameterGroup", "rds:DeleteDBSubnetGroup", "rds:ModifyDBInstance", "rds:ModifyDBParameterGroup",
            "rds:ModifyDBSubnetGroup", "rds:RemoveTagsFromResource",
            "secretsmanager:CreateSecret", "secretsmanager:DeleteSecret",
            "secretsmanager:TagResource", "secretsmanager:UpdateSecret",
            "sns:CreateTopic", "sns:DeleteTopic", "sns:SetTopicAttributes", "sns:Subscribe", "sns:TagResource",
          ]
          Resource = local.own
        },
        {
          # These know no resources before they are there, or at all.
          Sid    = "NamesNoResources"
          Effect = "Allow"
          Action = [
            "application-autoscaling:DeleteScalingPolicy", "application-autoscaling:DeregisterScalableTarget",
            "application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget",
            "application-autoscaling:TagResource", "codedeploy:ContinueDeployment", "codedeploy:GetDeploymentTarget",
            "codedeploy:StopDeployment", "ecr:GetAuthorizationToken", "ecs:DeregisterTaskDefinition", "ecs:RegisterTaskDefinition",
            "elasticloadbalancing:SetWebACL", "kms:CreateKey",
            # The firewall's log is delivered, and lets itself be written to, by the account's list of both.
            "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeResourcePolicies", "logs:GetLogDelivery",
            "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
            "sns:Unsubscribe",
          ]
          Resource = ["*"]
          # As above: nothing of another region.
          Condition = { StringEquals = { "aws:RequestedRegion" = [var.region, "us-east-1"] } }
        },
        {
          Sid    = "Image"
          Effect = "Allow"
          Action = [
            "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:CreateRepository",
            "ecr:DescribeImages", "ecr:DescribeImageScanFindings", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload",
            "ecr:PutImage", "ecr:PutImageScanningConfiguration", "ecr:PutImageTagMutability", "ecr:PutLifecyclePolicy",
            "ecr:TagResource", "ecr:UploadLayerPart",
          ]
          Resource = [var.repository_arn]
        },
      ]
    }
    roles = {
      about = "Changes this environment's roles and key"
      plan  = false
      statements = [
        {
          Sid    = "Roles"
          Effect = "Allow"
          Action = [
            "iam:DeleteRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole",
            "iam:UpdateRoleDescription",
          ]
          Resource = ["arn:aws:iam::${var.account_id}:role/${var.name}-*"]
        },
        {
          # What a role can do is written by who deploys, but never more than the boundary, which only people change.
          Sid       = "RolesWithinTheBoundary"
          Effect    = "Allow"
          Action    = ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy"]
          Resource  = ["arn:aws:iam::${var.account_id}:role/${var.name}-*"]
          Condition = { StringEquals = { "iam:PermissionsBoundary" = var.boundary_arn } }
        },
        {
          # Only people change who may come in from GitHub, and what for. All policies that are attached to a role are these.
          Sid    = "NotItsOwn"
          Effect = "Deny"
          Action = [
            "iam:AttachRolePolicy", "iam:CreatePolicyVersion", "iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy",
            "iam:DetachRolePolicy", "iam:PutRolePolicy", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy",
            "iam:UpdateRole", "iam:UpdateRoleDescription",
          ]
          Resource = ["arn:aws:iam::${var.account_id}:role/${var.name}-github-*", "arn:aws:iam::${var.account_id}:policy/${var.name}-github-*"]
        },
        {
          Sid      = "HandOnRoles"
          Effect   = "Allow"
          Action   = ["iam:PassRole"]
          Resource = ["arn:aws:iam::${var.account_id}:role/${var.name}-*"]
          Condition = {
            StringEquals = {
              "iam:PassedToService" = [
                "codedeploy.amazonaws.com", "ecs-tasks.amazonaws.com", "monitoring.rds.amazonaws.com",
                "vpc-flow-logs.amazonaws.com",
              ]
            }
          }
        },
        {
          Sid    = "Key"
          Effect = "Allow"
          Action = [
            "kms:CreateAlias", "kms:CreateGrant", "kms:Decrypt", "kms:DeleteAlias", "kms:EnableKeyRotation",
            "kms:GenerateDataKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource",
            "kms:UpdateKeyDescription",
          ]
          Resource = [var.kms_key_arn, "arn:aws:kms:${local.place}:alias/${var.name}"]
        },
      ]
    }
  }

  own = [
    "arn:aws:budgets::${var.account_id}:budget/${var.name}",
    "arn:aws:cloudwatch:${local.place}:alarm:${var.name}-*",
    "arn:aws:codedeploy:${local.place}:application:${var.name}-api",
    "arn:aws:codedeploy:${local.place}:deploymentconfig:CodeDeployDefault.ECS*",
    "arn:aws:codedeploy:${local.place}:deploymentgroup:${var.name}-api/${var.name}-api",
    "arn:aws:ecs:${local.place}:cluster/${var.name}",
    "arn:aws:ecs:${local.place}:service/${var.name}/${var.name}-*",
    "arn:aws:ecs:${local.place}:task-definition/${var.name}-*",
    "arn:aws:events:${local.place}:rule/${var.name}-*",
    "arn:aws:iam::${var.account_id}:oidc-provider/${local.issuer}",
    "arn:aws:iam::${var.account_id}:policy/${var.name}-*",
    "arn:aws:iam::${var.account_id}:role/${var.name}-*",
    "arn:aws:logs:${local.place}:log-group:/${var.name}/*",
    "arn:aws:logs:${local.place}:log-group:/aws/ecs/containerinsights/${var.name}/*",
    "arn:aws:logs:${local.place}:log-group:/aws/rds/instance/${var.name}/*",
    "arn:aws:logs:${local.place}:log-group:aws-waf-logs-${var.name}*",
    "arn:aws:rds:${local.place}:db:${var.name}",
    "arn:aws:rds:${local.place}:pg:${var.name}-*",
    "arn:aws:rds:${local.place}:subgrp:${var.name}",
    "arn:aws:secretsmanager:${local.place}:secret:${var.name}/*",
    "arn:aws:sns:${local.place}:${var.name}-alarms",
    var.kms_key_arn,
    var.repository_arn,
  ]
}
