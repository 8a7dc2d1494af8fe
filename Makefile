# The same few verbs by hand and in CI.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-openvino check docs bench bench-peers fuzz lock clean

setup: .venv/.setup

.venv/.setup: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("landmap needs Python 3.11 or newer; give one with PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs,test]'
	@touch $@

demo: setup ## write an example scene and map it
	@mkdir -p demo
	$(BIN)/landmap example demo/scene.tif --size 1000 --overwrite
	$(BIN)/landmap classify demo/scene.tif -o demo/cover.tif --confidence demo/confidence.tif --overwrite
	$(BIN)/landmap quicklook demo/scene.tif demo/cover.tif -o demo/cover.png --overwrite

test: setup ## what CI runs, after check
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-openvino: setup ## the tests of an optional engine, which setup does not install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'landmap[openvino]'
	$(BIN)/python -m pytest -n 2 tests/landmap_models/inference/test_openvino.py tests/landmap/inference/test_engine.py
	$(BIN)/python -m pip uninstall --quiet --yes openvino openvino-telemetry

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: setup ## the site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

bench: setup ## ratios of speed and memory, measured in one run
	$(BIN)/python -m pytest tests/benchmarks/bench_*.py -o python_functions="bench_*" --benchmark-columns=min,median,rounds -s --timeout=0

bench-peers: setup ## landmap beside other libraries, each in an environment of its own; PEERS="--repeats 1" for a quick one
	$(BIN)/python tests/benchmarks/compare_peers.py $(PEERS)

fuzz: setup ## damaged files of every kind, many of each; LANDMAP_FUZZ says how many
	LANDMAP_FUZZ=$${LANDMAP_FUZZ:-300} $(BIN)/python -m pytest -n 2 tests/integration/test_damage.py

lock: ## choose versions anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-annotate --no-header --upgrade -o constraints.txt

clean:
	rm -rf .venv demo site .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
