# What a developer runs; `make help` lists it. The first two call dev.py, which needs no make.

PYTHON ?= python3
BIN := .venv/bin
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help quickstart test dev quick data test-rust test-simd test-neon test-gpu test-full tools lint fmt fmt-check stubs stubs-check test-examples gallery coverage parity packages bench bench-cpu bench-gpu bench-burn bench-rust wheel test-wheel sdist clean all

help: ## list what make can do
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile

quickstart: ## set everything up and train the first network
	$(PYTHON) dev.py quickstart

test: ## set everything up and run the test suites, at most 15 minutes on two cores
	$(PYTHON) dev.py test

dev: ## build the package into .venv with every tool
	$(PYTHON) dev.py setup

quick: ## build only what changed since the last time and put it into the package; after `make dev`
	$(PYTHON) dev.py quick

data: ## install the data sets that the examples read
	$(PYTHON) dev.py data

test-rust: ## run the engine's own tests
	$(CARGO) test --package corten-core

test-simd: dev ## run the operators' and networks' suites at the weaker instruction-set levels
	for level in portable avx2; do CORTEN_SIMD=$$level $(BIN)/pytest -q tests/test_ops.py tests/test_nn.py tests/test_grad.py tests/test_fusion.py tests/test_joined.py || exit 1; done

test-neon: $(BIN)/ruff ## run the engine's tests and the operators' and networks' suites on aarch64, under qemu
	scripts/test_neon.sh

test-gpu: export CORTEN_GPU_SHADERS := $(CURDIR)/target/shaders
test-gpu: export CORTEN_GPU_SOFTWARE := 1
test-gpu: dev ## run the suites on a GPU (software will do), and translate each shader for Vulkan, Metal and DX12
	rm -rf $(CORTEN_GPU_SHADERS)
	$(CARGO) test --package corten-core --test 'gpu*'
	$(BIN)/pytest -q --device gpu
	$(BIN)/pytest -q tests/test_gpu.py tests/test_gpu_amp.py tests/test_gpu_jobs.py tests/test_gpu_limits.py tests/test_gpu_linalg.py tests/test_gpu_products.py tests/test_gpu_turned.py
	$(CARGO) test --package corten-core --lib translation -- --include-ignored

test-full: ## run the suites with the slow tests; goes on where it was cut off
	$(PYTHON) dev.py test --slow --resume

# The tools without a build of the package.
$(BIN)/ruff:
	$(PYTHON) dev.py setup --no-build

tools: $(BIN)/ruff ## install the tools into .venv without building the package

lint: tools ## clippy, ruff and mypy, warnings are errors
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(BIN)/ruff check
	$(BIN)/mypy

fmt: tools ## format Rust and Python
	$(CARGO) fmt
	$(BIN)/ruff format
	$(BIN)/ruff check --fix --select I

fmt-check: tools ## fail where fmt would change something
	$(CARGO) fmt --check
	$(BIN)/ruff format --check

stubs: dev ## write python/corten/_core.pyi anew from the built module
	$(BIN)/python scripts/stubs.py

stubs-check: dev ## fail where stubs would change something
	$(BIN)/python scripts/stubs.py --check

test-examples: dev ## run every example for a minute, on all data; `make data` installs them
	$(BIN)/pytest -q --slow tests/test_example_programs.py -k test_quick

gallery: dev ## run every example in full and write docs/gallery.md; goes on where it was cut off, many hours in all
	$(BIN)/python scripts/gallery.py

coverage: dev ## write docs/coverage.md anew: which of PyTorch's names are there
	$(BIN)/python scripts/coverage.py

parity: dev ## run PyTorch's own sample inputs on both packages; goes on where it was cut off; PyTorch must be in .venv
	$(BIN)/python scripts/parity.py --page

packages: dev ## install packages written for PyTorch, each into its own environment, and run their examples and tests
	$(BIN)/python scripts/packages.py

bench-rust: ## time the engine's parts: recording, plans, kernels
	$(CARGO) bench --package corten-core

bench: dev ## run the benchmarks
	for program in benchmarks/bench_*.py; do echo "== $$program"; $(BIN)/python $$program || exit 1; done

bench-cpu: dev ## compare with PyTorch on the CPU, and with what the machine reaches; PyTorch must be in .venv
	$(BIN)/python benchmarks/compare.py

bench-gpu: dev ## measure a GPU, and compare with PyTorch where it has CUDA
	$(BIN)/python benchmarks/gpu.py

bench-burn: dev ## compare with burn on one GPU; builds burn the first time, many minutes
	$(BIN)/python benchmarks/compare_burn.py

wheel: ## build the release wheel into dist/ and check it
	$(PYTHON) dev.py setup --no-build --extras wheel
	rm -f dist/*.whl
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/build_wheel.py

test-wheel: wheel ## run the test suites against the wheel in an empty environment
	$(BIN)/python scripts/check_wheel.py --suites dist/*.whl

sdist: ## build the source distribution into dist/ and a wheel from it alone
	$(PYTHON) dev.py setup --no-build --extras wheel
	rm -f dist/*.tar.gz
	$(BIN)/maturin sdist --out dist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/check_sdist.py dist/*.tar.gz

clean: ## remove everything that was built
	$(CARGO) clean
	rm -rf .venv dist python/corten/*.so python/corten/*.pyd out

all: fmt-check lint test-rust stubs-check test test-simd wheel sdist ## everything before a release
