# Everything runs in .venv, from this folder.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: setup demo test check gallery bench gpu-report

setup: .venv/ready  ## the environment, with all that the programs and the tests need

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check ".[dev]"
	touch $@

demo: setup  ## train a style, paint with it, run the baseline, compare: pictures and plot in demo/
	rm -rf demo
	$(BIN)/python train.py configs/demo.yaml --out demo/night_wind
	$(BIN)/python stylize.py assets/photos/chelsea.jpg assets/photos/astronaut.jpg \
		--style demo/night_wind/style.safetensors -o demo/stylized
	$(BIN)/python optimize.py assets/photos/chelsea.jpg assets/styles/night_wind.jpg \
		--config configs/demo.yaml optimize.init=content optimize.size_px=256 \
		optimize.iterations=60 optimize.snapshot_every=0 -o demo/baseline/chelsea.png
	$(BIN)/python compare.py --style demo/night_wind/style.safetensors \
		--style-image assets/styles/night_wind.jpg --photos assets/photos/heldout.txt \
		--sizes-px 160 --steps 120 --out demo/comparison
	@echo "demo/stylized, demo/baseline, demo/comparison/report.md"

test: setup  ## the tests, offline, on the CPU
	$(BIN)/pytest

check: setup  ## formatting, lint, types, tests: what .ci/run does
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/pytest

gallery: setup  ## docs/gallery.md's pictures: every style that ships on three photos
	for photo in chelsea astronaut coffee; do \
		$(BIN)/python stylize.py assets/photos/$$photo.jpg --style all --sheet --cell-px 248 \
			-o docs/images/gallery_$$photo.webp --overwrite || exit 1; \
	done

bench: setup  ## a training step, painting, and the baseline's objective by iteration
	$(BIN)/python -m benchmarks.train_step
	$(BIN)/python -m benchmarks.stylize
	$(BIN)/python -m benchmarks.baseline --photos assets/photos \
		--style-image assets/styles/night_wind.jpg --num-photos 2 --iterations 100

gpu-report: setup  ## the figures of a GPU machine, in gpu_report/report.md: PHOTOS=DIR
	$(BIN)/python -m benchmarks.gpu_report --photos $(or $(PHOTOS),assets/photos) $(FLAGS)
