# Who may connect to minio; where Consul's default is to deny, nobody else.
Kind = "service-intentions"
Name = "crm-assets-minio"
Sources = [
  {
    Name   = "crm-assets-api"
    Action = "allow"
  },
  {
    Name   = "crm-assets-buckets"
    Action = "allow"
  },
  {
    Name   = "crm-assets-code"
    Action = "allow"
  },
  {
    Name   = "crm-assets-mlflow"
    Action = "allow"
  },
]
