# Who may connect to webserver; where Consul's default is to deny, nobody else.
Kind = "service-intentions"
Name = "crm-assets-webserver"
Sources = [
  {
    Name   = "crm-assets-api"
    Action = "allow"
  },
]
