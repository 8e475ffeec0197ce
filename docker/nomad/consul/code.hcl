# Who may connect to code; where Consul's default is to deny, nobody else.
Kind = "service-intentions"
Name = "crm-assets-code"
Sources = [
  {
    Name   = "crm-assets-daemon"
    Action = "allow"
  },
  {
    Name   = "crm-assets-webserver"
    Action = "allow"
  },
]
