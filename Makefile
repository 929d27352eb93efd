# The one interface to everything: `make help` prints itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STEPML := $(BIN)/stepml
ASL_VALIDATOR := build/node/node_modules/.bin/asl-validator
TEST_WORKERS ?= 5  # more than twice the cores: whole jobs often wait
ARCHITECTURE ?= x86_64  # of functions on AWS, as the stack's parameter says; or arm64
FUNCTIONS_PYTHON ?= 3.12  # of functions on AWS; or 3.13
PYTHONS ?= 3.11 3.12 3.13  # on which `make wheels` tries the wheel, as far as they are here
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu  # builds for CPUs; those of PyPI bring CUDA along
REGIONS := us-east-1 eu-central-1 us-gov-west-1 cn-north-1  # of each partition of AWS
LINT_TOOLS := build/lint-tools
PACKAGES := stepml lambdas comm storage ps_server

.DEFAULT_GOAL := help
.PHONY: help run test chaos fuzz lint format schema idl docs guides notebooks estimators console wheels pictures screenshots bench soak package down constraints clean install install-dev \
  caches torch-image torch-trial

help: ## Print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

run: install ## Train Covertype locally, with the same state machines and functions as on AWS
	@$(STEPML) local up || exit; \
	trap 'echo "The local AWS goes on; \"make down\" ends it."; exit 130' INT; \
	if $(STEPML) data get covertype --local --upload; then job=covertype; \
	else echo "Going on with the digits that scikit-learn brings."; \
	  $(STEPML) data get digits --local --upload || exit; job=digits; fi; \
	$(STEPML) run examples/$${job}_logistic.json --local || exit; \
	echo "Open the report in a browser. Next, train on your own data: docs/tutorial.md"

unexport PYTHONDONTWRITEBYTECODE  # compiled once, modules load faster into hundreds of processes

test: install-dev caches ## Run every test
	@# Whole jobs begin first: the short tests fill the gaps in which jobs wait.
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder \
	  tests/functional tests/services tests/contracts tests/fuzz tests/unit $(PYTEST_ARGS)

chaos: install-dev caches ## Kill functions and channels at random under jobs (CHAOS_ARGS="--seed 1 --runs 3")
	$(BIN)/python -m tests.faults.chaos $(CHAOS_ARGS)

fuzz: install-dev ## Try 200,000 damaged files, models, messages, jobs and odd command lines
	STEPML_FUZZ_EXAMPLES=10000 $(BIN)/pytest -n $(TEST_WORKERS) --timeout 7200 tests/fuzz

lint: install-dev $(ASL_VALIDATOR) $(LINT_TOOLS)/installed ## Check style, types, layers, templates, state machines, security
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@# The Python in pages and notebooks, as an editor shows it. scikit-learn has no types, and cells
	@# of notebooks may await.
	$(BIN)/mypy --cache-dir .mypy_cache/examples --allow-untyped-calls --disable-error-code top-level-await \
	  $$($(BIN)/python -m documentation.example_code build/examples)
	$(BIN)/lint-imports
	$(BIN)/python -m tests.support.translated build/translated/template.json
	$(BIN)/cfn-lint --regions $(REGIONS) -t templates/*.yaml build/translated/template.json
	$(LINT_TOOLS)/bin/checkov --config-file .checkov.yaml $(addprefix --file ,build/translated/template.json \
	  $(filter-out templates/template.yaml,$(wildcard templates/*.yaml)))
	@# What is of low severity, ruff's rules of the same origin check.
	$(LINT_TOOLS)/bin/bandit --quiet --recursive --severity-level medium $(PACKAGES)
	.ci/audit $(LINT_TOOLS)/bin/pip-audit
	@# As CloudFormation substitutes it: the validator knows no other partition.
	mkdir -p build/machines && for machine in state_machines/*.asl.json; do \
	  valid=build/machines/$$(basename $$machine); \
	  sed 's/$${Partition}/aws/' $$machine > $$valid && $(ASL_VALIDATOR) --json-path $$valid || exit; done

format: install-dev ## Format the code and apply ruff's fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: install ## Generate state_machines/job.schema.json from the types
	$(STEPML) schema > state_machines/job.schema.json

idl: install-dev caches ## Generate ps_server/generated from the Thrift and Protocol Buffers interfaces
	rm -rf build/idl && mkdir -p build/idl/ps_server/generated
	thrift --gen py -out build/idl ps_server/protocol/parameter_server.thrift
	cp build/idl/ps_server/generated/thrift_api/*.py ps_server/generated/thrift_api/
	cp ps_server/protocol/parameter_server.proto build/idl/ps_server/generated/
	cd build/idl && $(CURDIR)/$(BIN)/python -m grpc_tools.protoc -I. --python_out=$(CURDIR) \
	  --pyi_out=$(CURDIR) --grpc_python_out=$(CURDIR) ps_server/generated/parameter_server.proto

docs: install-dev build/screenshots/report.png ## Build the documentation as a site in build/site, and check its links
	$(BIN)/python -m documentation.site build/site

guides: install-dev caches ## Run the commands of the tutorial and of the how-to guides (GUIDE=tutorial.md)
	STEPML_GUIDE=$(or $(GUIDE),all) $(BIN)/pytest tests/functional/test_documentation.py

notebooks: install-dev caches ## Run the notebooks of examples/notebooks
	STEPML_ALL_NOTEBOOKS=1 $(BIN)/pytest tests/functional/test_notebooks.py

estimators: install-dev caches ## Run all of scikit-learn's checks of the estimators on the local AWS
	STEPML_ALL_CHECKS=1 $(BIN)/pytest -n 2 --dist load tests/functional/test_estimators.py -k scikit_learn_accepts

console: install-dev caches ## Use the console in a browser: every view, by mouse and by keyboard, on wide screens and phones
	STEPML_WHOLE_CONSOLE=1 $(BIN)/pytest -n 2 --dist loadfile tests/functional/test_console*.py

wheels: install-dev caches ## Install the wheel into empty environments of Python 3.11, 3.12 and 3.13, and use it
	$(BIN)/python -m tests.wheel $(PYTHONS)

pictures: install-dev ## Draw the graphs of the state machines in docs/pictures
	$(BIN)/python -m documentation.graphs

screenshots: install-dev caches ## Take the screenshots of the site and the pictures of the console again, of jobs that run for them
	$(BIN)/python -m documentation.screenshots
	$(BIN)/python -m documentation.console_pictures

build/screenshots/report.png: | install-dev caches
	$(BIN)/python -m documentation.screenshots

bench: install-dev caches ## Measure workflow, cold start, parsing, learning, exchange and jobs
	$(BIN)/python benchmarks/bench_workflow.py --json build/bench_workflow.json
	$(BIN)/python benchmarks/bench_parsing.py --json build/bench_parsing.json
	$(BIN)/python benchmarks/bench_partition.py --json build/bench_partition.json
	$(BIN)/python benchmarks/bench_tables.py --json build/bench_tables.json
	$(BIN)/python benchmarks/bench_learning.py --json build/bench_learning.json
	$(BIN)/python benchmarks/bench_exchange.py --json build/bench_exchange.json
	$(BIN)/python benchmarks/bench_parts.py --json build/bench_parts.json
	$(BIN)/python benchmarks/bench_training.py --json build/bench_training.json
	$(BIN)/python benchmarks/bench_parameter_server.py --json build/bench_parameter_server.json
	$(BIN)/python benchmarks/bench_defaults.py --json build/bench_defaults.json
	$(BIN)/python benchmarks/bench_neural.py --json build/bench_neural.json
	$(BIN)/python benchmarks/bench_estimators.py --json build/bench_estimators.json
	$(BIN)/python -m benchmarks.bench_console --json build/bench_console.json

soak: install-dev ## Check that a parameter server's memory stays flat over 100,500 steps
	$(BIN)/python benchmarks/soak_parameter_server.py --json build/soak_parameter_server.json

package: install ## Build the packages and templates for AWS in build/aws
	$(BIN)/python -m stepml.packaging build/aws --constraint constraints.txt \
	  --architecture $(strip $(ARCHITECTURE)) --python $(strip $(FUNCTIONS_PYTHON))
	@echo "To deploy it, see docs/aws.md"

torch-image: install ## Build the folder that the image of the functions with torch copies
	$(BIN)/python -m stepml.packaging.images code-torch build/aws --constraint constraints.txt \
	  --index "$(strip $(TORCH_INDEX))"

torch-trial: install ## Install the libraries of that image for this Python, and load its functions
	$(BIN)/python -m stepml.packaging.images code-torch build/trial --here --constraint constraints.txt \
	  --index "$(strip $(TORCH_INDEX))"

down: ## Stop the local AWS, unless jobs are running (with YES=1 even then)
	@# Without standard input, so that it asks nothing.
	@test ! -x $(STEPML) || $(STEPML) local down $(if $(YES),--yes) < /dev/null \
	  || { [ $$? != 2 ] || echo 'With make: make down YES=1' >&2; exit 1; }

install: $(VENV)/installed $(VENV)/kernels ## Create .venv for `make run`

install-dev: $(VENV)/installed-dev $(VENV)/kernels ## Create .venv for development

caches: ## Install redis-server, memcached and thrift for the tests, if missing
	@.ci/install-caches

constraints: install-dev ## Pin the installed versions
	$(BIN)/pip freeze --exclude-editable --exclude pip --exclude setuptools | sed 's/+cpu$$//' > constraints.txt

clean: down ## Remove everything that can be generated again
	rm -rf $(VENV) build dist stepml/ml/kernels/*.so .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Python 3.11 or later is needed, this is {sys.version}; set PYTHON="'
	@echo "Creating $(VENV) and installing the dependencies in it takes one to five minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'  # the first with dependency groups

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the dependencies in $(VENV)"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[local,data,console]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing the dependencies for development in $(VENV)"
	@# torch alone from the other index, so that nothing else is looked up there.
	$(BIN)/pip install --quiet --no-deps --retries 2 --constraint constraints.txt \
	  $(addprefix --extra-index-url ,$(strip $(TORCH_INDEX))) torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[local,data,console,torch,onnx,sdk]' --group dev --group docs
	@touch $@

$(VENV)/kernels: stepml/ml/kernels/clusters.c stepml/packaging/kernels.py | $(VENV)/installed
	@$(BIN)/python -m stepml.packaging.kernels
	@touch $@

$(LINT_TOOLS)/installed:  # apart, as their dependencies are not ours
	$(PYTHON) -m venv $(LINT_TOOLS)
	$(LINT_TOOLS)/bin/pip install --quiet bandit==1.9.4 checkov==3.3.30 pip-audit==2.10.1
	@touch $@

$(ASL_VALIDATOR):
	npm install --silent --no-fund --no-audit --prefix build/node asl-validator@4.0.0
	@touch $@
