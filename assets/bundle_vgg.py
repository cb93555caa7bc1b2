"""Write the bundled loss network: VGG-16 up to conv5_1 as float16.

    python -m assets.bundle_vgg VGG16_STATE_DICT

Takes any VGG-16 state dict with torchvision's names (.safetensors or .pth).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from errors import run_program
from models.vgg import BUNDLED_FILE, read_state_dict

LAST_INDEX = 24  # conv5_1 in torchvision's `features`
METADATA = {
    "format": "pt",
    "network": "VGG-16 (configuration D), convolutions up to conv5_1, torchvision's names",
    "source": "Visual Geometry Group, University of Oxford; Simonyan and Zisserman, 2014",
    "licence": "CC BY 4.0",
    "changes": "converted to torchvision's layout, RGB order, float16",
}


def main() -> int:
    state = read_state_dict(Path(sys.argv[1]))
    kept = {
        name: value.to(torch.float16).contiguous()
        for name, value in state.items()
        if name.startswith("features.") and int(name.split(".")[1]) <= LAST_INDEX
    }
    BUNDLED_FILE.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, BUNDLED_FILE, metadata=METADATA)
    print(f"{BUNDLED_FILE}: {len(kept)} tensors, {BUNDLED_FILE.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    run_program(main)
