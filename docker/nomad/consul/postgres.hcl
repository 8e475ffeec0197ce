# Who may connect to postgres; where Consul's default is to deny, nobody else.
Kind = "service-intentions"
Name = "crm-assets-postgres"
Sources = [
  {
    Name   = "crm-assets-code"
    Action = "allow"
  },
  {
    Name   = "crm-assets-daemon"
    Action = "allow"
  },
  {
    Name   = "crm-assets-mlflow"
    Action = "allow"
  },
  {
    Name   = "crm-assets-webserver"
    Action = "allow"
  },
]
