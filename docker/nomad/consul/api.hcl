# Who may connect to api; where Consul's default is to deny, nobody else.
Kind = "service-intentions"
Name = "crm-assets-api"
Sources = [
  {
    Name   = "crm-assets-page"
    Action = "allow"
  },
]
