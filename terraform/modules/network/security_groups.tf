# One group for each member, and one rule for each flow: who may call whom stands in one table, which the platform hands in.

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:Groups are made here and put on by the services, the balancer and the database, which are other modules.
  for_each = var.members

  name        = "${var.name}-${each.key}"
  description = "What ${each.key} may call and be called by"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-${each.key}" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "flow" {
  for_each = var.flows

  security_group_id            = aws_security_group.this[each.value.to].id
  referenced_security_group_id = aws_security_group.this[each.value.from].id
  description                  = "From ${each.value.from}"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "flow" {
  for_each = var.flows

  security_group_id            = aws_security_group.this[each.value.from].id
  referenced_security_group_id = aws_security_group.this[each.value.to].id
  description                  = "To ${each.value.to}"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "outside" {
  #checkov:skip=CKV_AWS_260:Port 80 of the balancer answers with a redirect to HTTPS and nothing else.
  for_each = var.from_outside

  security_group_id = aws_security_group.this[each.value.to].id
  description       = "From ${each.value.cidr}"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "outside" {
  for_each = var.to_outside

  security_group_id = aws_security_group.this[each.value.from].id
  description       = "To the services of AWS and of others, which have no fixed addresses"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}
