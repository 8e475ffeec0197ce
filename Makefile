# Every target sets up what it needs; `make help` lists them.
PYTHON ?= python3.11
UV_VERSION := 0.13.8
BIN := .venv/bin
SETUP := .venv/.installed
SPARK := .venv/.spark
SOURCE ?=
PYTHON3 ?= python3
ifneq ($(SOURCE),)
export CRM_SOURCE_URL := $(SOURCE)
endif

# Where it is set, every process that a test starts compiles the whole package anew.
export PYTHONDONTWRITEBYTECODE :=

# Compose's plugin for Docker, or else the binary of the development tools.
COMPOSE = $(if $(shell docker compose version 2>/dev/null),docker compose,$(BIN)/docker-compose) -f docker/compose.yaml

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-spark test-survival lint format types lock bench bench-model bench-monitoring docs clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-17s %s\n", $$1, $$2}'

setup: $(SETUP) ## Make .venv with the locked dependencies

$(SETUP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --editable .
	@touch $@

demo: $(SETUP) ## Run the whole graph on the simulated CRM and show the scored pipeline
	@$(BIN)/crm-assets run

dev: $(SETUP) ## Open Dagster (webserver and daemon) on the same lake and MLflow store
	@$(BIN)/python -m crm_assets.dev $(if $(PORT),--port $(PORT))

.PHONY: api
api: $(SETUP) ## Answer over HTTP on the same lake and MLflow store (docs/api.md)
	@$(BIN)/crm-assets serve $(if $(PORT),--port $(PORT))

.PHONY: app
app: $(SETUP) ## Show the page over the API (docs/page.md)
	@$(BIN)/crm-assets app $(if $(PORT),--port $(PORT))

.PHONY: screenshots
screenshots: $(SETUP) ## Take pictures of every view of the page on the lake, to bench/page and docs/images/page
	@$(BIN)/python -m crm_assets_tests.browser.screenshots --docs docs/images/page

test: $(SETUP) ## Run the tests
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

test-spark: $(SPARK) ## Run the Spark tests (installs PySpark; needs Java 17)
	@$(BIN)/pytest -m spark -n 2 --dist loadfile --no-loadscope-reorder

test-survival: $(SETUP) ## Kill runs at 30 moments each in a folder and on servers, and compare what they leave
	@$(BIN)/pytest -m survival -s

$(SPARK): $(SETUP) requirements-spark.lock
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --require-hashes -r requirements-spark.lock
	@touch $@

.PHONY: up down logs stats api-key test-containers
up: docker/.env docker/keys/api_keys ## Build and start the containers, and wait until they are healthy
	@$(COMPOSE) up --build --detach --wait --wait-timeout 300
	@$(COMPOSE) ps --format 'table {{.Service}}\t{{.Status}}\t{{.Ports}}'

down: ## Stop the containers; their data stays
	@$(COMPOSE) down

logs: ## Follow what the containers print
	@$(COMPOSE) logs --follow --tail 100

stats: ## Print the memory of each container
	@docker/stats.sh $$($(COMPOSE) ps --quiet)

docker/.env:
	@umask 077; while IFS= read -r line; do case "$$line" in \
		*=CHANGE_ME) echo "$${line%CHANGE_ME}$$(od -An -N20 -tx1 /dev/urandom | tr -d ' \n')";; \
		*) echo "$$line";; \
		esac; done <docker/.env.example >$@.part && mv $@.part $@
	@echo "made $@ with new random secrets; git ignores it: keep a copy"

# Made here, for an engine would make the folder as root's.
docker/keys/api_keys:
	@mkdir -p $(@D)
	@echo "# name:scopes:sha256 of each key of the API, a line each; make api-key adds one" >$@

api-key: docker/keys/api_keys ## Let somebody ask the API: make api-key NAME=crm [SCOPES=read]
	@test -n "$(NAME)" || { echo "make api-key NAME=crm [SCOPES=read+score]" >&2; exit 2; }
	@told=$$($(COMPOSE) exec -T api crm-assets api-key $(NAME) --scopes $(or $(SCOPES),read+score)) \
		&& echo "$$told" | sed -n 's/^entry: //p' >>docker/keys/api_keys \
		&& echo "$$told" | sed -n 's/^key: *//p'

test-containers: $(SETUP) ## Build the image and run the containers for real (needs a Docker engine)
	@$(BIN)/pytest -m containers -s

lint: $(SETUP) ## Check style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(SETUP) ## Check types
	@$(BIN)/mypy

format: $(SETUP) ## Format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

docs: $(SETUP) ## Write the pages that are made from the code
	@$(BIN)/python -m crm_assets.reference_pages docs

CHECKS := .venv-checks/.installed

$(CHECKS): requirements-checks.lock checks/package.json checks/package-lock.json | $(SETUP)
	@test -x .venv-checks/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-checks
	@$(BIN)/uv pip install --python .venv-checks/bin/python --quiet --compile-bytecode --require-hashes -r requirements-checks.lock
	@cp checks/package.json checks/package-lock.json .venv-checks/
	@npm ci --prefix .venv-checks --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.PHONY: checks test-checks secrets-baseline audit coverage test-integration lock-checks
checks: $(CHECKS) ## Check workflows, secrets, security, Dockerfiles and Compose's file; CHECK=zizmor runs one (docs/security.md)
	@.venv-checks/bin/python -m checks $(CHECK)

test-checks: $(CHECKS) ## Make each kind of mistake in a copy and see that the checks find it
	@$(BIN)/pytest checks -p no:cacheprovider

secrets-baseline: $(CHECKS) ## Write anew what looks like a secret and is none; have the change reviewed
	@.venv-checks/bin/python -m checks.secret_scan . --write

audit: $(CHECKS) ## Look up known vulnerabilities of every locked package (needs the internet)
	@.venv-checks/bin/python -m checks.audit

COVERAGE := .venv/.coverage

$(COVERAGE): $(SETUP) requirements-coverage.lock
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --require-hashes -r requirements-coverage.lock
	@touch $@

coverage: $(COVERAGE) ## Run the tests and fail where they reach less than 90 % of the package's lines; COVERED=FOLDER runs some
	@mkdir -p bench
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered \
		--cov-report=xml:bench/coverage.xml --cov-report=html:bench/coverage $(COVERED)

test-integration: $(SETUP) ## Run the tests on real servers; TEST_POSTGRES_URL names a PostgreSQL instead of one they start
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder crm_assets_tests/integration

lock-checks: $(SETUP) ## Resolve anew what the checks, coverage and Dagster+ need; after make lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade requirements-checks.in -o requirements-checks.lock
	@echo pytest-cov | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --constraint requirements.lock \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --upgrade - -o requirements-coverage.lock
	@sed -n 's/^dagster = \["dagster==\([^"]*\)".*/dagster-cloud==\1/p' pyproject.toml | $(BIN)/uv pip compile --quiet \
		--universal --python-version 3.11 --constraint requirements.lock --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --upgrade - -o requirements-dagster-plus.lock
	@npm update --prefix checks --package-lock-only --ignore-scripts --no-audit --no-fund --silent

.PHONY: validate-model validate-kaggle pull-request-comment propose-locks
validate-model: $(SETUP) ## Probe for leakage and backtest, on SOURCE or the simulated CRM; table to bench/validation
	@$(BIN)/python -m checks.model_validation

validate-kaggle: $(SETUP) ## The same on Kaggle's CRM, where KAGGLE_USERNAME and KAGGLE_KEY are set
	@$(BIN)/python -m checks.model_validation --kaggle

pull-request-comment: ## Put REPORT into the comment on PULL_REQUEST that was made for it (needs gh)
	@checks/pull_request_comment.sh

propose-locks: ## Put changed locks into a branch and a pull request (needs gh)
	@checks/propose_locks.sh

.PHONY: commit-checked image image-dagster-plus image-push image-find image-copy image-scan deploy-plan deploy-apply deploy-smoke deploy-rollback dagster-plus
image: ## Build the image of every service
	@docker build --file docker/Dockerfile --tag crm-assets:0.1.0 .

image-dagster-plus: ## Build the image for Dagster+ on the image of every service
	@docker build --file docker/dagster_plus.Dockerfile --tag crm-assets-dagster-plus:0.1.0 .

image-push: ## Build COMMIT's image and push it to REPOSITORY, with SBOM and provenance; tells its digest (docs/release.md)
	@$(PYTHON3) -m deploy.image push

image-find: ## Tell the digest of COMMIT's image
	@$(PYTHON3) -m deploy.image find

commit-checked: ## Wait until what decides on COMMIT has passed on GitHub (needs gh)
	@$(PYTHON3) -m deploy.commit_checked

image-copy: ## Bring DIGEST from REPOSITORY to IMAGE_REPOSITORY, the registry of an environment
	@$(PYTHON3) -m deploy.image copy

image-scan: ## Look for known vulnerabilities in IMAGE (needs Docker and the internet)
	@deploy/scan.sh

deploy-plan: ## Show what DIGEST would change in ENVIRONMENT, without values
	@$(PYTHON3) -m deploy.release plan

deploy-apply: ## Bring DIGEST to ENVIRONMENT, as it was planned
	@$(PYTHON3) -m deploy.release apply

deploy-smoke: ## Ask every service of ENVIRONMENT whether it answers as it should
	@$(PYTHON3) -m deploy.smoke

deploy-rollback: ## Put back what ran in ENVIRONMENT before deploy-apply
	@$(PYTHON3) -m deploy.release rollback

dagster-plus: $(SETUP) ## Deploy the code location to Dagster+, for a branch where this is one
	@deploy/dagster_plus.sh

bench: $(SETUP) ## Measure speed and memory; figures to bench/
	@$(BIN)/python -m crm_assets_tests.benchmarks

bench-model: $(SETUP) ## Measure model, forecast and gate, and speed; CRM_REAL_DATA names a real export
	@$(BIN)/python -m crm_assets_tests.benchmarks speed
	@$(BIN)/python -m crm_assets_tests.benchmarks quality
	@$(BIN)/python -m crm_assets_tests.benchmarks forecast
	@$(BIN)/python -m crm_assets_tests.benchmarks gate

bench-monitoring: $(SETUP) ## Measure how quiet and how loud the drift levels are on 100 simulated CRMs
	@$(BIN)/python -m crm_assets_tests.benchmarks monitoring

.PHONY: bench-serving
bench-serving: $(SETUP) ## Measure the API under load beside MLflow's server (needs wrk); SOAK=10 soaks for as many minutes
	@$(BIN)/python -m crm_assets_tests.benchmarks serving $(if $(SOAK),--soak $(SOAK))

.PHONY: bench-page
bench-page: $(SETUP) ## Measure how long the page takes to draw and to follow, in a browser, also with 50,000 open deals
	@$(BIN)/python -m crm_assets_tests.benchmarks page

lock: $(SETUP) ## Resolve the dependencies anew
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra all --group dev --generate-hashes \
		--no-emit-index-url --no-header --upgrade pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra spark --constraint requirements.lock \
		--generate-hashes --no-emit-index-url --no-header --upgrade pyproject.toml -o requirements-spark.lock

.PHONY: terraform-check test-cloud lock-cloud
terraform-check: .venv-cloud/.installed ## Check style, validity, tests and checkov of Terraform's files (needs Terraform)
	@CHECKOV=$(CURDIR)/.venv-cloud/bin/checkov terraform/check.sh $(ONLY)

test-cloud: $(SETUP) .venv-cloud/.installed ## Apply, re-plan and destroy every environment on an emulated AWS (needs Terraform)
	@$(BIN)/pytest -m cloud -s

# An environment of its own: what these need does not go with what we need.
.venv-cloud/.installed: requirements-cloud.lock | $(SETUP)
	@test -x .venv-cloud/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-cloud
	@$(BIN)/uv pip install --python .venv-cloud/bin/python --quiet --require-hashes -r requirements-cloud.lock
	@touch $@

lock-cloud: $(SETUP) ## Resolve anew what the checks of Terraform's files need
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade requirements-cloud.in -o requirements-cloud.lock

.PHONY: diagrams docs-site docs-serve notebooks test-docs lock-docs
DOCS := .venv-docs/bin
DOCS_SETUP := .venv-docs/.installed

$(DOCS_SETUP): requirements-docs.lock $(SETUP)
	@test -x $(DOCS)/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-docs
	@$(BIN)/uv pip sync --python $(DOCS)/python --quiet --compile-bytecode --require-hashes requirements-docs.lock
	@touch $@

diagrams: $(DOCS_SETUP) ## Draw the architecture from docs/architecture/workspace.dsl
	@$(DOCS)/python -m crm_assets_tests.architecture --d2 $(DOCS)/d2

docs-site: $(DOCS_SETUP) ## Build the documentation as a site that needs no network, to site/
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs build --strict

docs-serve: $(DOCS_SETUP) ## Show the documentation on http://127.0.0.1:8800, and anew when a page changes
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs serve --strict --dev-addr 127.0.0.1:$(or $(PORT),8800)

# Beside the locked packages, of which it changes none.
NOTEBOOKS := .venv/.notebooks
$(NOTEBOOKS): $(SETUP) requirements-notebooks.lock
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --require-hashes -r requirements-notebooks.lock
	@touch $@

notebooks: $(NOTEBOOKS) ## Run the notebooks, and take their outputs out again
	@$(BIN)/nbstripout notebooks/*.ipynb
	@$(BIN)/pytest -m notebooks

test-docs: $(SETUP) ## Run the commands that stand on the pages, and compare those that do not run with their reasons
	@$(BIN)/pytest -m commands

lock-docs: $(SETUP) ## Resolve what the documentation and the notebooks need anew
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group docs --generate-hashes \
		--no-emit-index-url --no-header --upgrade -o requirements-docs.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group notebooks --constraint requirements.lock \
		--generate-hashes --no-emit-index-url --no-header --upgrade -o requirements-notebooks.lock

clean: ## Remove the environment, the lake and Dagster's and MLflow's state
	@rm -rf .venv .venv-* site lake .crm_assets bench
