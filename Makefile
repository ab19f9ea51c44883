# The two commands of the README, and the longer ones. Everything is set up in .venv.
# A fresh machine has Python 3.11 and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

NOTEBOOK := build/notebook
LEGACY := build/legacy
S3 := build/s3
SIDE_BY_SIDE := --numprocesses logical --maxprocesses 8 --dist loadfile --durations 40 --durations-min 2

# Set-up compiles nothing, so each module is to be compiled once, when it is first imported.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: bench bench-large demo notebook legacy s3 test test-keras test-all lint base-causal base-masked clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)        ## fine-tune the bundled model on the built-in corpus, offline
	$(BIN)/nextfill train

notebook:             ## install into a new environment, and run the notebooks of docs/ there
	rm -rf $(NOTEBOOK) build/lib
	$(PYTHON) -m venv $(NOTEBOOK)/venv
	$(NOTEBOOK)/venv/bin/python -m pip install --quiet --constraint constraints.txt '.[notebook]'
	cp docs/guide.ipynb docs/guides.ipynb $(NOTEBOOK)/
	cd $(NOTEBOOK) && venv/bin/jupyter-execute --inplace guide.ipynb guides.ipynb
	@echo "They have run: $(NOTEBOOK)/guide.ipynb and $(NOTEBOOK)/guides.ipynb"

legacy: $(STAMP)      ## train the types that transformers 5 has no more, in an environment of 4.57
	$(PYTHON) -m venv $(LEGACY)/venv
	$(LEGACY)/venv/bin/python -m pip install --quiet 'transformers==4.57.6' torch numpy xxhash
	$(BIN)/nextfill prepare --split 'train[:300]' --quiet --json > $(LEGACY)/store.json
	PYTHONPATH=src $(LEGACY)/venv/bin/python scripts/legacy.py $(LEGACY)/store.json

s3:                   ## token stores in S3, in an environment of its own: S3's packages want an older python-dateutil
	$(PYTHON) -m venv $(S3)/venv
	grep -v '^python-dateutil=' constraints.txt > $(S3)/constraints.txt
	$(S3)/venv/bin/python -m pip install --quiet --no-compile --constraint $(S3)/constraints.txt \
		--editable '.[s3,ray]' pytest hypothesis 'moto[s3]' flask flask-cors
	$(S3)/venv/bin/python -m pytest tests/s3

test: $(STAMP)        ## the tests that every change must pass
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-keras: test      ## and all those of Keras on JAX, and on TensorFlow
	KERAS_BACKEND=jax $(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/keras
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt tensorflow-cpu
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/keras

test-all: test-keras  ## and the long trials, one after the other, for many of them measure
	NEXTFILL_TEST_EXAMPLES=all $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m 'hypothesis and not trial'
	$(BIN)/python -m pytest -m trial
	KERAS_BACKEND=jax $(BIN)/python -m pytest -m trial tests/keras

RESULTS := benchmarks/results
GPT2 := $(if $(NEXTFILL_TEST_DATA),--tokenizer $(NEXTFILL_TEST_DATA)/tokenizers/gpt2)
STEP := $(BIN)/python benchmarks/training_step.py --rounds 1 --out $(RESULTS)
TO_LOSS := $(if $(NEXTFILL_TEST_DATA),$(BIN)/python benchmarks/time_to_loss.py --quick --out $(RESULTS) \
	--data $(NEXTFILL_TEST_DATA) > /dev/null,@echo "time_to_loss.py not run: NEXTFILL_TEST_DATA names no folder")
bench: $(STAMP)       ## measure the speed beside others', a quarter of an hour of an idle machine, for docs/speed.md
	$(BIN)/python benchmarks/preparation.py $(GPT2) --rounds 2 --sizes 1 10 100 --out $(RESULTS) > /dev/null
	$(STEP) --memory-rows 4 > /dev/null
	$(STEP) --memory-rows 0 --packing best-fit > /dev/null
	$(STEP) --memory-rows 0 --objective masked > /dev/null
	$(STEP) --memory-rows 0 --objective masked --packing best-fit > /dev/null
	$(STEP) --memory-rows 0 --rounds 0 --sizes 1 4 16 64 --steps 4 > /dev/null
	$(BIN)/python benchmarks/engine_step.py --out $(RESULTS) > /dev/null
	$(TO_LOSS)
	$(BIN)/python benchmarks/evaluation.py $(if $(HARNESS),--harness $(HARNESS)) --rounds 1 --out $(RESULTS) > /dev/null
	$(BIN)/python benchmarks/generation.py --rounds 2 --out $(RESULTS) > /dev/null
	$(BIN)/python benchmarks/fill.py --sentences 300 --rounds 2 --out $(RESULTS) > /dev/null
	$(BIN)/python benchmarks/speed_page.py

bench-large: $(STAMP) ## prepare 500 MB to 4 GB of text, which needs 10 GB of disk and twenty minutes
	$(BIN)/python benchmarks/preparation.py $(GPT2) --rounds 1 --sizes 500 1000 4000 --encoder \
		--name preparation-large --out $(RESULTS) > /dev/null
	$(BIN)/python benchmarks/speed_page.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

base-causal base-masked: $(STAMP)  ## train a bundled base model anew, under an hour on 2 cores
	$(BIN)/python scripts/make_base_model.py $(@:base-%=%)

clean:
	rm -rf $(VENV) build runs .pytest_cache .mypy_cache .ruff_cache
