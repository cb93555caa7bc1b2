"""What several tests share: where things are, and the real commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from configs.schema import load_config
from models.style_file import StyleInfo, save_style
from models.transformer_net import TransformerNet

# A test process a core, so one thread each, in the commands that tests start as well.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
PHOTOS = ROOT / "assets/photos"
STYLES = ROOT / "assets/styles"

Run = Callable[..., subprocess.CompletedProcess[str]]


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of an image file."""
    with Image.open(path) as image:
        return image.size


def heed_sigint() -> None:
    """For a child (`preexec_fn`): what runs behind nohup ignores SIGINT, its children too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def run() -> Run:
    """Run a program as a user does: `run("train.py", "configs/quickstart.yaml", …)`."""

    def run_program(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)

    return run_program


@pytest.fixture(scope="session")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small style file: random weights paint something, and that is enough here."""
    torch.manual_seed(0)
    config = load_config(None, ["model.width=4", "model.num_blocks=1"])
    path = tmp_path_factory.mktemp("style") / "mine.safetensors"
    save_style(path, TransformerNet(4, 1), StyleInfo("mine", config.to_dict(), 1))
    return path


@pytest.fixture
def shared() -> Path:
    """The folder of photos and full-precision weights; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent: it holds photos that are not ours to ship")
    return SHARED
