"""Who may import whom (docs/architecture.md), and where each outside package lives."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

BOTTOM = {"models", "losses", "data"}
MAY_IMPORT = {
    "models": set(),
    "losses": set(),
    "data": set(),
    "configs": BOTTOM,
    "baselines": BOTTOM | {"configs"},
    "inference": BOTTOM | {"configs"},
    "training": BOTTOM | {"configs"},
}
PROGRAMS = ("train", "stylize", "optimize", "compare")
HOMES = {
    "PIL": {str(path.relative_to(ROOT)) for path in (ROOT / "data").glob("*.py")},
    "pillow_heif": {"data/formats.py", "data/source.py"},
    "tifffile": {"data/tiff.py"},
    "imagecodecs": {"data/cicp.py", "data/colour.py", "data/source.py"},
    "rawpy": {"data/raw.py"},
    "yaml": {"configs/schema.py"},
    "torchvision": {"models/vgg.py"},
    "tensorboard": set(),
    "torch.utils.tensorboard": {"training/run_log.py"},
    "matplotlib": {"baselines/report.py"},
    "tqdm": {"progress.py"},
    "argparse": {f"{program}.py" for program in PROGRAMS} | {"errors.py"},
    "pypdl": {"data/coco.py"},
    "openvino": {"inference/openvino_engine.py", "inference/export.py"},
    "av": {"inference/film.py"},  # which hands it to the files beside it
    "cv2": {"inference/smoothing.py"},
    "onnx": {"inference/export.py"},
    "psutil": {"inference/memory.py"},
}
FILES = (
    sorted(path.relative_to(ROOT) for folder in MAY_IMPORT for path in (ROOT / folder).glob("*.py"))
    + [Path(f"{program}.py") for program in PROGRAMS]
    + [Path(f"{name}.py") for name in ("errors", "progress", "threads", "whole_file")]
)


def imports(path: Path) -> set[str]:
    """Every module that a file imports anywhere, in full."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_downwards_only(path: Path) -> None:
    rooms = {module.split(".")[0] for module in imports(path)}
    assert not rooms & set(PROGRAMS), f"{path} imports a program"
    room = path.parts[0]
    if room in MAY_IMPORT:
        assert rooms & set(MAY_IMPORT) <= MAY_IMPORT[room] | {room}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_each_outside_package_has_one_home(path: Path) -> None:
    for module in imports(path):
        for package, homes in HOMES.items():
            if module == package or module.startswith(package + "."):
                assert str(path) in homes, f"{path} imports {module}; its home is {homes}"


def test_no_room_without_a_name() -> None:
    for name in ("utils", "helpers", "common"):
        assert not [p for p in ROOT.glob(f"**/{name}*.py") if ".venv" not in p.parts]
