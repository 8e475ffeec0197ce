"""What Terraform asks AWS for, against what the roles of GitHub's workflows allow.

moto's server notes each request and allows everything; AWS allows what a policy names. What is compared are actions: on
which resources each is allowed is looked at in test_allowed.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from crm_assets_tests.cloud.made import Made
from crm_assets_tests.cloud.operations import actions_for
from crm_assets_tests.cloud.reference import reference
from crm_assets_tests.cloud.roles import Role, roles

pytestmark = pytest.mark.cloud

BY_PEOPLE: Mapping[str, frozenset[str]] = {
    "who comes in from GitHub, with which rights, and the most that any role can do": frozenset(
        {
            "iam:AttachRolePolicy",
            "iam:CreateOpenIDConnectProvider",
            "iam:CreatePolicy",
            "iam:DeleteOpenIDConnectProvider",
            "iam:DeletePolicy",
            "iam:DetachRolePolicy",
        }
    ),
    "a database is made, restored and removed by people": frozenset({"rds:CreateDBInstance", "rds:DeleteDBInstance"}),
    "other environments may run what is in the registry": frozenset(
        {"ecr:DeleteLifecyclePolicy", "ecr:DeleteRepository"}
    ),
    "who removes an environment removes its data; who deploys lists and reads none": frozenset(
        {"s3:DeleteObjectVersion", "s3:ListBucketVersions"}
    ),
}
"""Why people do it -> actions of Terraform that who deploys may not take."""

OF_THE_EMULATION = frozenset({"iam:GetUser"})
"""How the provider finds its account where credentials are not validated, as on moto; on AWS it asks sts for both."""

NOT_ASKED_FOR: Mapping[str, frozenset[str]] = {
    "what is made is tagged with the same request, and a tag is changed in place": frozenset(
        {
            "acm:AddTagsToCertificate",
            "application-autoscaling:TagResource",
            "budgets:TagResource",
            "cloudwatch:TagResource",
            "cloudwatch:UntagResource",
            "codedeploy:TagResource",
            "ec2:DeleteTags",
            "ecr:TagResource",
            "ecs:TagResource",
            "ecs:UntagResource",
            "elasticloadbalancing:AddTags",
            "elasticloadbalancing:RemoveTags",
            "events:TagResource",
            "iam:TagRole",
            "iam:UntagRole",
            "kms:TagResource",
            "kms:UntagResource",
            "logs:TagResource",
            "logs:UntagResource",
            "rds:AddTagsToResource",
            "rds:RemoveTagsFromResource",
            "secretsmanager:TagResource",
            "servicediscovery:TagResource",
            "servicediscovery:UntagResource",
            "sns:TagResource",
            "wafv2:TagResource",
            "wafv2:UntagResource",
        }
    ),
    "what is there is changed in place; the three steps only make and remove": frozenset(
        {
            "codedeploy:UpdateDeploymentGroup",
            "ec2:ModifySecurityGroupRules",
            "ec2:ModifySubnetAttribute",
            "ec2:ModifyVpcEndpoint",
            "ec2:ReplaceRoute",
            "ecr:PutImageScanningConfiguration",
            "ecr:PutImageTagMutability",
            "ecs:DeregisterTaskDefinition",
            "ecs:UpdateCluster",
            "elasticloadbalancing:ModifyListener",
            "elasticloadbalancing:ModifyListenerAttributes",
            "elasticloadbalancing:ModifyRule",
            "elasticloadbalancing:ModifyTargetGroup",
            "elasticloadbalancing:SetRulePriorities",
            "elasticloadbalancing:SetSecurityGroups",
            "elasticloadbalancing:SetSubnets",
            "iam:UpdateAssumeRolePolicy",
            "iam:UpdateRole",
            "iam:UpdateRoleDescription",
            "kms:PutKeyPolicy",
            "kms:UpdateKeyDescription",
            "logs:AssociateKmsKey",
            "rds:ModifyDBSubnetGroup",
            "secretsmanager:UpdateSecret",
            "servicediscovery:UpdateService",
            "wafv2:UpdateWebACL",
        }
    ),
    "a service does it with the rights of who asked it for something else": frozenset(
        {
            "ec2:DescribeRegions",
            "elasticloadbalancing:SetWebACL",
            "iam:PassRole",
            "kms:CreateGrant",
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:DescribeResourcePolicies",
            "logs:GetLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
            "route53:ListHostedZonesByName",
        }
    ),
    "the state and its key, which the emulated environments keep in a file": frozenset(
        {"kms:Decrypt", "kms:GenerateDataKey", "s3:GetObject", "s3:PutObject"}
    ),
    "a release of the API, and taking it back (deploy/api_release.py)": frozenset(
        {
            "codedeploy:ContinueDeployment",
            "codedeploy:CreateDeployment",
            "codedeploy:GetApplicationRevision",
            "codedeploy:GetDeployment",
            "codedeploy:GetDeploymentConfig",
            "codedeploy:GetDeploymentTarget",
            "codedeploy:RegisterApplicationRevision",
            "codedeploy:StopDeployment",
        }
    ),
    "an image is pushed, scanned and looked up (deploy/image.py)": frozenset(
        {
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:CompleteLayerUpload",
            "ecr:DescribeImageScanFindings",
            "ecr:DescribeImages",
            "ecr:GetAuthorizationToken",
            "ecr:GetDownloadUrlForLayer",
            "ecr:InitiateLayerUpload",
            "ecr:PutImage",
            "ecr:UploadLayerPart",
        }
    ),
}
"""What else a workflow has its actions for -> the actions, which Terraform asks for in none of the steps."""


def asked_for(made: Made, *steps: str) -> frozenset[str]:
    """The actions that AWS has to allow for the steps."""
    called = {operation for step in steps for operation in made.calls[step]}
    return frozenset(action for operation in called for action in actions_for(operation)) - OF_THE_EMULATION


def role_of(made: Made, what: str) -> Role:
    return roles(made.state)[f"crm-assets-{made.name}-github-{what}"]


def listed(table: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*table.values())


def test_every_action_is_one_of_aws(made: Made) -> None:
    asked = asked_for(made, "apply", "re-plan", "destroy") | listed(BY_PEOPLE) | listed(NOT_ASKED_FOR)
    assert [action for action, kinds in reference(set(asked)).items() if kinds is None] == []


def test_each_step_asks_for_much(made: Made) -> None:
    # Or nothing would be compared below.
    assert {"ec2:DescribeVpcs", "s3:ListBucket", "route53:GetHostedZone"} <= asked_for(made, "re-plan")
    assert {"ec2:CreateVpc", "s3:CreateBucket", "route53:CreateHostedZone"} <= asked_for(made, "apply")
    assert {"ec2:DeleteVpc", "s3:DeleteBucket", "route53:DeleteHostedZone"} <= asked_for(made, "destroy")


@pytest.mark.parametrize("what", ["plan", "deploy"])
def test_who_plans_may_read_everything_that_a_plan_reads(made: Made, what: str) -> None:
    assert sorted(asked_for(made, "re-plan") - role_of(made, what).actions) == []


@pytest.mark.parametrize("step", ["apply", "destroy"])
def test_who_deploys_may_do_everything_but_what_people_do(made: Made, step: str) -> None:
    assert sorted(asked_for(made, step) - role_of(made, "deploy").actions - listed(BY_PEOPLE)) == []


def test_who_deploys_may_do_nothing_that_people_do(made: Made) -> None:
    assert sorted(role_of(made, "deploy").actions & listed(BY_PEOPLE)) == []


def test_what_is_allowed_is_asked_for_or_has_a_reason(made: Made) -> None:
    if made.name == "prod":
        # It has everything that there is, so that whatever it does not ask for is asked for nowhere.
        allowed = role_of(made, "plan").actions | role_of(made, "deploy").actions
        assert sorted(allowed - asked_for(made, "apply", "re-plan", "destroy") - listed(NOT_ASKED_FOR)) == []
        assert sorted(listed(NOT_ASKED_FOR) - allowed) == []
    assert sorted(listed(NOT_ASKED_FOR) & asked_for(made, "apply", "re-plan", "destroy")) == []
