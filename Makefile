# make setup | demo | demo-seeds | test | test SLOW=1 | test-s3 | test-faults
#      test-lowest | test-browser | test-quantized | test-pretended-gpu | check
#      bench-gradients | bench-scale | clean
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo demo-seeds test test-on-ray test-of-models test-of-others test-s3 test-faults \
  test-waiting test-computing \
  test-lowest test-browser test-quantized test-pretended-gpu check bench-gradients bench-scale clean

setup: .venv/.done

.venv/.done: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv || python3 -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo,test]'
	touch $@

demo: setup
	$(BIN)/python -m ray_jobs.demo

demo-seeds: setup
	for seed in 0 1 2; do \
	  $(BIN)/python -m ray_jobs.demo --seed $$seed --run runs/demo-seed-$$seed || exit 1; \
	done

# SLOW=1: with the slow ones, and the shapes and types of arguments are checked
test: setup
	$(MAKE) --jobs 3 --output-sync=target test-on-ray test-of-models test-of-others

KINDS := not gpu and not s3 and not faults and not browser
ifndef SLOW
KINDS += and not slow
else
SHAPES := --jaxtyping-packages=inflib,beartype.beartype
endif

MODELS := $(addprefix tests/,model sketches benchmarks test_trl_checks.py \
  test_trl_training.py)

# Ray gives its workers a low priority; tests beside them take one that is lower still
test-on-ray: setup
	$(BIN)/python -m pytest -q $(SHAPES) -m 'ray and $(KINDS)'
test-of-models test-of-others: setup
	nice -n 19 $(BIN)/python -m pytest -q $(SHAPES) -m 'not ray and $(KINDS)' \
	  $(if $(filter test-of-models,$@),$(MODELS),$(addprefix --ignore=,$(MODELS)))

# In two halves that run side by side: tests that wait for servers and killed processes,
# and others, which leave them the processors
test-waiting: setup
	$(MAKE) test-s3 && $(MAKE) test-faults

test-computing: setup
	nice -n 19 $(MAKE) --jobs 1 test-lowest test-browser test-pretended-gpu

# The tests below run against a real S3 server, see scripts/s3_server.sh
test-s3 test-faults: setup
	eval "$$(PYTHON=$(BIN)/python scripts/s3_server.sh start)" && \
	  { $(BIN)/python -m pytest -q -m $(@:test-%=%); status=$$?; \
	    scripts/s3_server.sh stop; exit $$status; }

# The report's page in a real Chromium, which is installed where it is missing
test-browser: .venv/.browser
	$(BIN)/python -m pytest -q -m browser

.venv/.browser: .venv/.done scripts/chromium.sh
	scripts/chromium.sh
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo,test,browser]'
	touch $@

# The tests of GPUs on a pretended one, which needs g++
test-pretended-gpu: setup
	$(BIN)/python -m tests.pretended_gpu -q -m gpu tests/test_gpu.py

# A base in 4 bits, by bitsandbytes, which is installed where it is missing
test-quantized: setup
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[quantized]'
	$(BIN)/python -m pytest -q tests/model/test_quantized.py

# With the lowest versions that pyproject.toml allows: imports, models, sketches,
# training, the golden scores, and an audit on Ray
LOWEST := test_versions.py test_golden.py model sketches storage/test_folder.py \
  ray_jobs/test_cli.py ray_jobs/test_what_if.py \
  test_walls.py::test_importing_inflib_needs_neither_ray_trl_nor_datasets

test-lowest: .venv-lowest/.done
	.venv-lowest/bin/python -m pytest -q $(addprefix tests/,$(LOWEST))

.venv-lowest/.done: pyproject.toml constraints-lowest.txt
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest || \
	  python3 -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --constraint constraints-lowest.txt \
	  --editable '.[demo,test]'
	touch $@

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# BERGSON=python of an environment with that library adds it as a contender
bench-gradients: setup
	$(BIN)/python -W ignore -m ray_jobs.benchmark gradients \
	  --json docs/gradients.json $(if $(BERGSON),--bergson $(BERGSON))

# STORES=local,s3 needs AWS_ENDPOINT_URL and credentials, see scripts/s3_server.sh
bench-scale: setup
	$(BIN)/python -W ignore -m ray_jobs.benchmark scale --json docs/scale.json \
	  --pairs 100000 --dtypes $(or $(DTYPES),int8) --stores $(or $(STORES),local)

clean:
	rm -rf .venv .venv-lowest runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
