# Who may connect to mlflow; where Consul's default is to deny, nobody else.
Kind = "service-intentions"
Name = "crm-assets-mlflow"
Sources = [
  {
    Name   = "crm-assets-api"
    Action = "allow"
  },
  {
    Name   = "crm-assets-code"
    Action = "allow"
  },
]
