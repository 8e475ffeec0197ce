// The C4 model of crm_assets, as Structurizr DSL. `make diagrams` draws its views beside this file; tests compare it with
// docker/compose.yaml, terraform/ and the folders of the package. docs/architecture.md shows the pictures.
workspace "crm_assets" "Sales probabilities from CRM history" {

    !identifiers hierarchical
    !impliedRelationships false

    model {
        seller = person "Salesperson" "Wants to know which deals to work on, and why"
        manager = person "Sales manager" "Plans with the revenue forecast"
        operator = person "Operator" "Runs the platform and watches its models"

        crm = softwareSystem "CRM" "Where deals are entered: Salesforce, HubSpot or any that exports tables" "External"
        signin = softwareSystem "Identity provider" "OpenID Connect: who is looking, and what they may do" "External"
        channels = softwareSystem "Alert channels" "Mail, chat, pager" "External"

        platform = softwareSystem "crm_assets" "Gives every open deal the probability that it is won by the end of next month, from what was known at each month-end" {

            page = container "Page" "Pipeline, deals, forecast, model and monitoring, for people" "Streamlit" {
                properties {
                    "compose" "page"
                    "terraform" "service.page"
                }
                app = component "app" "Views; asks the API and computes nothing" "Streamlit"
            }

            api = container "API" "Scores, reasons and forecast over HTTP, equal to the batch's" "FastAPI" {
                properties {
                    "compose" "api"
                    "terraform" "service.api"
                }
                serving = component "serving" "Answers, keys, limits, and the log of predictions" "FastAPI"
            }

            webserver = container "Dagster webserver" "Runs, assets and checks, for operators; GraphQL" "dagster-webserver" {
                properties {
                    "compose" "webserver"
                    "terraform" "service.webserver"
                }
            }

            daemon = container "Dagster daemon" "Evaluates schedules and sensors, starts runs" "dagster-daemon" {
                properties {
                    "compose" "daemon"
                    "terraform" "service.daemon"
                }
            }

            code = container "Code location" "Declares the assets and makes their months" "Python, Dagster" {
                properties {
                    "compose" "code"
                    "terraform" "service.code"
                }
                group "Shell" {
                    client = component "client" "A running Dagster, or a deployment in this process, behind one class" "Python"
                    defs = component "defs" "Assets, checks, jobs, schedules and sensors, one module per group of the graph" "Dagster"
                }
                group "Ways in and out" {
                    sources = component "sources" "The CRM's tables as of a month: folder, S3, Kaggle, simulator" "Python"
                    simulator = component "simulator" "A CRM that never existed, with true probabilities" "NumPy, Polars"
                    alerts = component "alerts" "Whom to tell what, and how often" "Apprise"
                    writeback = component "writeback" "Changed scores, to the CRM, once" "Python"
                    registry = component "registry" "Versions of the model, champion and challenger" "MLflow client"
                    lake = component "lake" "A file or object per asset and month, with its manifest" "Parquet"
                    profiles = component "profiles" "Settings for one kind of deployment" "YAML"
                }
                group "Core, which knows no Dagster, MLflow, S3 or web" {
                    leakage = component "leakage" "Tries whether the future gets into features or model" "Narwhals"
                    monitoring = component "monitoring" "Reference, drift and realised performance" "Evidently"
                    modelling = component "modelling" "Candidates, backtest, promotion, reasons, forecast" "scikit-learn, LightGBM"
                    features = component "features" "Each feature once, and what it may read" "Narwhals"
                    history = component "history" "Replay, snapshots, closings, outcomes" "Narwhals"
                    engines = component "engines" "Runs table expressions on Polars, DuckDB or Spark" "Narwhals"
                }
            }

            mlflow = container "MLflow" "Models, their versions and cards" "MLflow server" {
                properties {
                    "compose" "mlflow"
                    "terraform" "service.mlflow"
                }
            }

            postgres = container "Databases" "Dagster's runs and events; MLflow's records" "PostgreSQL" "Store" {
                properties {
                    "compose" "postgres"
                    "terraform" "module.database"
                }
            }

            objects = container "Lake" "Extracts that land, tables and reports, models" "S3" "Store" {
                properties {
                    "compose" "minio"
                    "terraform" "module.lake"
                }
            }
        }

        seller -> platform "Sees what to do about each deal"
        manager -> platform "Reads the forecast"
        operator -> platform "Starts, watches, rolls back"
        platform -> crm "Reads extracts; writes scores back" "S3, HTTPS"
        crm -> platform "Asks for scores" "HTTPS"
        platform -> signin "Lets people sign in" "OpenID Connect"
        platform -> channels "Tells what failed or drifted" "HTTPS, SMTP"

        seller -> platform.page "Looks at deals" "HTTPS"
        manager -> platform.page "Looks at the forecast" "HTTPS"
        operator -> platform.webserver "Looks at runs" "HTTPS"
        platform.page -> platform.api "Asks, as the user" "HTTP"
        platform.page -> signin "Signs people in" "OpenID Connect"
        crm -> platform.api "Asks for scores" "HTTPS"
        crm -> platform.objects "Lands an extract a month" "S3"
        platform.api -> platform.objects "Reads months, logs predictions" "S3"
        platform.api -> platform.mlflow "Loads the champion" "HTTP"
        platform.api -> platform.webserver "Plans and starts backfills" "GraphQL"
        platform.webserver -> platform.code "Asks for definitions" "gRPC"
        platform.webserver -> platform.postgres "Reads runs and events" "SQL"
        platform.daemon -> platform.code "Has sensors evaluated, starts runs" "gRPC"
        platform.daemon -> platform.postgres "Queues runs" "SQL"
        platform.code -> platform.postgres "Writes events" "SQL"
        platform.code -> platform.objects "Reads extracts, makes months" "S3"
        platform.code -> platform.mlflow "Registers models" "HTTP"
        platform.code -> channels "Tells people" "HTTPS, SMTP"
        platform.code -> crm "Writes scores back" "HTTPS"
        platform.mlflow -> platform.postgres "Keeps records" "SQL"
        platform.mlflow -> platform.objects "Keeps models" "S3"

        // Between components an arrow is an import. What follows from other arrows is left out; a test makes these from the
        // code and compares.
        platform.page.app -> platform.api.serving "imports"
        platform.api.serving -> platform.code.client "imports"
        platform.code.client -> platform.code.defs "imports"
        platform.code.defs -> platform.code.sources "imports"
        platform.code.defs -> platform.code.alerts "imports"
        platform.code.defs -> platform.code.writeback "imports"
        platform.code.defs -> platform.code.registry "imports"
        platform.code.defs -> platform.code.leakage "imports"
        platform.code.defs -> platform.code.monitoring "imports"
        platform.code.sources -> platform.code.simulator "imports"
        platform.code.alerts -> platform.code.lake "imports"
        platform.code.writeback -> platform.code.lake "imports"
        platform.code.writeback -> platform.code.profiles "imports"
        platform.code.registry -> platform.code.modelling "imports"
        platform.code.leakage -> platform.code.modelling "imports"
        platform.code.monitoring -> platform.code.modelling "imports"
        platform.code.modelling -> platform.code.features "imports"
        platform.code.features -> platform.code.history "imports"
        platform.code.history -> platform.code.engines "imports"

        deploymentEnvironment "One machine" {
            deploymentNode "Docker host" "Two cores, 8 GB" "Docker Compose" {
                deploymentNode "Own image" "One image for all, unprivileged" "docker/Dockerfile" {
                    containerInstance platform.page
                    containerInstance platform.api
                    containerInstance platform.webserver
                    containerInstance platform.daemon
                    containerInstance platform.code
                    containerInstance platform.mlflow
                    infrastructureNode "Buckets" "Makes the buckets, and ends" "Python" {
                        properties {
                            "compose" "buckets"
                        }
                    }
                }
                deploymentNode "Images of others" "A volume each" "PostgreSQL 17, MinIO" {
                    containerInstance platform.postgres
                    containerInstance platform.objects
                }
            }
        }

        deploymentEnvironment "AWS" {
            deploymentNode "AWS account" "An environment: dev, staging or prod" "Terraform" {
                deploymentNode "VPC" "Public and private subnets" "terraform/modules/network" {
                    properties {
                        "terraform" "module.network"
                    }
                    infrastructureNode "Load balancer" "TLS and health checks, before page, API, webserver and MLflow" "ALB" {
                        properties {
                            "terraform" "module.balancer"
                        }
                    }
                    // RDS, encrypted and backed up, in private subnets.
                    containerInstance platform.postgres
                    deploymentNode "ECS cluster" "A service each, with a role of its own" "Fargate" {
                        properties {
                            "terraform" "module.cluster"
                        }
                        containerInstance platform.page
                        containerInstance platform.api
                        containerInstance platform.webserver
                        containerInstance platform.daemon
                        containerInstance platform.code
                        containerInstance platform.mlflow
                        deploymentNode "Task run" "A task for each Dagster run" "Fargate, spot" {
                            properties {
                                "terraform" "module.run_launcher"
                            }
                            containerInstance platform.code
                        }
                    }
                }
                containerInstance platform.objects
                infrastructureNode "Registry" "The image, by digest" "ECR" {
                    properties {
                        "terraform" "module.registry"
                    }
                }
                infrastructureNode "Secrets" "Passwords, keys, alert URLs" "Secrets Manager" {
                    properties {
                        "terraform" "module.secrets"
                    }
                }
                infrastructureNode "Key" "Everything at rest" "KMS" {
                    properties {
                        "terraform" "module.encryption"
                    }
                }
                infrastructureNode "Domain" "Addresses and their certificate" "Route 53, ACM" {
                    properties {
                        "terraform" "module.domain"
                    }
                }
                infrastructureNode "Roles" "One per service, named resources" "IAM" {
                    properties {
                        "terraform" "module.identity"
                    }
                }
                infrastructureNode "Boundary" "The most that any role can do" "IAM" {
                    properties {
                        "terraform" "module.boundary"
                    }
                }
                infrastructureNode "Watching" "Logs, alarms, budget" "CloudWatch, SNS" {
                    properties {
                        "terraform" "module.watching"
                    }
                }
                infrastructureNode "Scaling" "API and page follow their load" "Application Auto Scaling" {
                    properties {
                        "terraform" "module.scaling"
                    }
                }
                infrastructureNode "API release" "Blue and green, and back by itself" "CodeDeploy" {
                    properties {
                        "terraform" "module.api_release"
                    }
                }
                infrastructureNode "GitHub's roles" "Plan and deploy, without keys" "OIDC" {
                    properties {
                        "terraform" "module.github"
                    }
                }
            }
        }
    }

    views {
        systemContext platform "context" "Who uses it, and what it talks to" {
            include *
            autoLayout tb
        }
        container platform "containers" "What runs" {
            include *
            autoLayout tb
        }
        component platform.code "components" "The packages, and what imports what" {
            include *
            include platform.page.app
            autoLayout tb
        }
        deployment platform "One machine" "deployment-one-machine" "Containers on one machine" {
            include *
            exclude relationship==*
            autoLayout lr
        }
        deployment platform "AWS" "deployment-aws" "An environment on AWS" {
            include *
            exclude relationship==*
            autoLayout tb
        }
        styles {
            element "Person" {
                shape Person
                background #0b3c6f
                color #ffffff
            }
            element "Software System" {
                background #1c5fa8
                color #ffffff
            }
            element "External" {
                background #6b7280
                color #ffffff
            }
            element "Container" {
                background #2f7dd1
                color #ffffff
            }
            element "Component" {
                background #dbeafe
                color #10233c
            }
            element "Infrastructure Node" {
                background #e5e7eb
                color #1f2937
            }
            element "Store" {
                shape Cylinder
            }
        }
    }
}
