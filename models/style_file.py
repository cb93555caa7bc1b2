"""A trained style on disk: safetensors with everything about it in its metadata.

Reading one takes NumPy alone; torch is imported where a network is made of it.

python -m models.style_file import FILE.pth -o mine.safetensors
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from errors import CommandLine, UserError, run_program
from models.layout import weight_shapes
from whole_file import told_of, whole_file

if TYPE_CHECKING:
    import torch

    from models.transformer_net import TransformerNet

FORMAT = "onestroke-style"
FORMAT_VERSION = 1
SUFFIX = ".safetensors"
STYLES_DIR = Path(__file__).parents[1] / "styles"
LITE = "-lite"
"""The end of the name of a style's smaller and faster form."""
PRECISIONS = ("float16", "float32")

Array = npt.NDArray[Any]


class StyleFileError(UserError):
    """A file that is no trained style, or none that this version reads."""


@dataclass(frozen=True)
class TrainingRun:
    """One training: a style is the end of one, or of several that went on from each other."""

    start: str
    """The style whose weights it began with; empty: fresh ones."""
    steps: int
    batch_size: int
    small_steps: int
    """Steps on crops of half the side, before the others."""
    teacher: str
    """The style whose paintings came before the objective; empty: none."""
    optimizer: str
    learning_rate: float
    style_weight: float
    """Of the objective, which is no measure between runs with another."""
    num_photos: int
    device: str
    minutes: float
    commit: str
    """Of the code; empty where it is not known."""
    command: str
    """As it was typed; empty where it is not known."""
    heldout_objective: float | None = None
    """At the end; None without held-out photos."""


@dataclass(frozen=True)
class Comparison:
    """How good a style is beside the iterative baseline, from white noise, on the same photos."""

    num_photos: int
    size_px: int
    network: float
    """Mean objective of the network."""
    baseline: dict[str, float]
    """Iteration → mean objective of the baseline."""
    crossing: float | None = None
    """The iteration at which the baseline passes the network, median; None: later, or unknown."""
    machine: str = ""
    """What computed both, and in which precision."""


@dataclass(frozen=True)
class StyleInfo:
    """What a style file says of itself: its model card (models/card.py) and all that it needs."""

    name: str
    config: dict[str, Any]
    """The resolved config (configs/schema.py); `model` alone is needed to load the network."""
    steps: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    """The last losses: `total_loss`, `content_loss`, `style_loss`, `tv_loss`; of the held-out
    photos where there were any."""
    num_photos: int = 0
    """How many photos it was trained on."""
    runs: tuple[TrainingRun, ...] = ()
    """The runs that it is the end of, the last one its own; none where that is not known."""
    comparisons: tuple[Comparison, ...] = ()
    """compare.py's figures, where `benchmarks.model_cards` put them in."""

    @property
    def title(self) -> str:
        """Its title and artist, as far as they are known; else its name."""
        style = self.config.get("style", {})
        about = ", ".join(filter(None, (style.get("title"), style.get("artist"))))
        return about or self.name

    @property
    def about(self) -> str:
        """One line about how it was trained, and its image's licence."""
        licence = self.config.get("style", {}).get("licence", "")
        steps = sum(run.steps for run in self.runs) or self.steps
        facts = [licence, f"{steps:,} steps on {self.num_photos:,} photos"]
        if "heldout_total_loss" in self.losses:
            facts.append(f"held-out objective {self.losses['heldout_total_loss']:.3g}")
        return "; ".join(filter(None, facts))


def save_style(
    path: Path, network: TransformerNet, info: StyleInfo, precision: str = "float16"
) -> None:
    """Write a network as a style file, complete or not at all.

    `precision` is `float16` or `float32`. Raises ValueError for weights that float16 cannot hold.
    """
    weights = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    write_style(path, weights, info, precision)


def write_style(path: Path, weights: dict[str, Array], info: StyleInfo, precision: str) -> None:
    """Write a network's weights as a style file, as `save_style` does."""
    state: dict[str, Array] = {}
    for name, array in weights.items():
        if np.issubdtype(array.dtype, np.floating):
            with np.errstate(over="ignore"):  # told below
                array = array.astype(PRECISIONS[PRECISIONS.index(precision)])
            if not np.isfinite(array).all():
                raise ValueError(f"{name}: not finite as {precision}")
        state[name] = np.array(array, order="C")
    _write(path, state, info)


def rewrite_info(path: Path, info: StyleInfo) -> None:
    """Replace what a style file says of itself; its weights stay, bit for bit.

    Raises StyleFileError for a file that is no style.
    """
    read_info(path)
    _write(path, load_file(path), info)


def _write(path: Path, state: dict[str, Array], info: StyleInfo) -> None:
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION)}
    metadata |= {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in asdict(info).items()
    }
    style = info.config.get("style", {})
    metadata |= {"licence": style.get("licence", ""), "credit": style.get("credit", "")}
    # names of files need be no text: what is none becomes an escape, which JSON reads back
    metadata = {k: v.encode("utf-8", "backslashreplace").decode() for k, v in metadata.items()}
    with whole_file(path) as beside:
        beside.write_bytes(save(state, metadata))  # save_file's would be readable by us alone


def read_info(path: Path) -> StyleInfo:
    """Return what a style file says of itself, without its weights. Raises StyleFileError."""
    return _read(path, with_weights=False)[0]


def weights_digest(path: Path) -> str:
    """Return what tells a style file's weights from others, whatever it says of itself."""
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")  # a length, and JSON of that length
    return hashlib.sha256(content[header:]).hexdigest()[:16]


def read_style(path: Path) -> tuple[StyleInfo, dict[str, Array]]:
    """Return a style's description and its weights by name, float32 (counters integer).

    Nothing in the file is executed. Raises StyleFileError for a file that is missing, truncated,
    of another program, of a newer format, or whose weights do not fit or are not finite.
    """
    info, state = _read(path, with_weights=True)
    try:
        expected = weight_shapes(**info.config["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise StyleFileError(
            f"{path}: describes no network that this version knows ({error}); expected model keys "
            "of configs/schema.py. Train the style again."
        ) from error
    check_weights(path, state, expected)
    return info, state


def load_style(path: Path, device: torch.device | None = None) -> tuple[TransformerNet, StyleInfo]:
    """Return a style's network in float32, in evaluation mode, and its description.

    Raises StyleFileError as `read_style` does.
    """
    import torch

    from models.transformer_net import TransformerNet

    info, state = read_style(path)
    network = TransformerNet(**info.config["model"])
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    network.to(memory_format=torch.channels_last).to(device or torch.device("cpu"))
    return network.eval().requires_grad_(False), info


def check_weights(
    path: Path, state: dict[str, Array], expected: dict[str, tuple[int, ...]]
) -> None:
    """Make the weights float32. Raises StyleFileError for others than expected, or not finite."""
    for name in sorted(expected.keys() | state.keys()):
        found = state[name].shape if name in state else None
        wanted = expected.get(name)
        if found != wanted:
            raise StyleFileError(
                f"{path}: weights {name} are {found or 'missing'}; expected {wanted or 'none'}. "
                "The file is damaged: get or train it again."
            )
        if np.issubdtype(state[name].dtype, np.floating):
            state[name] = state[name].astype(np.float32)
            if not np.isfinite(state[name]).all():
                raise StyleFileError(
                    f"{path}: weights {name} hold inf or NaN; expected finite numbers. "
                    "The file is damaged: get or train it again."
                )


def find_style(name_or_file: str, asked_by: str = "--style") -> Path:
    """Return the path of a style given by its name in styles/ or by its file.

    Raises StyleFileError with what asked for it and the names there are.
    """
    path = Path(name_or_file)
    if path.suffix == SUFFIX or path.is_file():
        return path
    shipped = STYLES_DIR / f"{name_or_file}{SUFFIX}"
    if not shipped.is_file():
        names = ", ".join(file.stem for file in style_files()) or "none yet"
        raise StyleFileError(
            f"{asked_by} {name_or_file}: no such style; expected one of {names}, or a "
            f"{SUFFIX} file. See stylize.py --list."
        )
    return shipped


def style_files() -> list[Path]:
    """Return the shipped styles' files, by name."""
    return sorted(STYLES_DIR.glob(f"*{SUFFIX}"), key=lambda path: path.stem)


def _read(path: Path, with_weights: bool) -> tuple[StyleInfo, dict[str, Array]]:
    if not path.is_file():
        raise StyleFileError(
            f"{path}: no such file; expected a trained style. See stylize.py --list."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            version = _check_format(path, metadata)
            names = list(file.keys()) if with_weights else []
            state = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise StyleFileError(
            f"{path}: cannot be read ({error}); expected a whole style file ({SUFFIX}). "
            "Get or train it again."
        ) from error
    try:
        compared = json.loads(metadata.get("comparisons", "[]"))
        info = StyleInfo(
            name=metadata["name"],
            config=json.loads(metadata["config"]),
            steps=int(metadata["steps"]),
            losses=json.loads(metadata["losses"]),
            num_photos=int(metadata["num_photos"]),
            runs=tuple(TrainingRun(**run) for run in json.loads(metadata.get("runs", "[]"))),
            comparisons=tuple(Comparison(**one) for one in compared),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StyleFileError(
            f"{path}: its description lacks or garbles {error}; expected a style file of format "
            f"{version}. Get or train it again."
        ) from error
    return info, state


def _check_format(path: Path, metadata: dict[str, str]) -> str:
    if metadata.get("format") != FORMAT:
        raise StyleFileError(
            f"{path}: is a safetensors file but no trained style; expected one written by "
            "train.py (style.safetensors)."
        )
    version = metadata.get("format_version", "")
    if not version.isdecimal() or int(version) > FORMAT_VERSION:
        raise StyleFileError(
            f"{path}: style format {version or 'unknown'}; expected at most {FORMAT_VERSION}. "
            "Update Onestroke."
        )
    return version


def main() -> int:
    parser = CommandLine(
        "python -m models.style_file", description="Styles trained elsewhere as style files."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    importing = commands.add_parser("import", help="a state dict of pytorch/examples")
    importing.add_argument("file", type=Path, metavar="FILE")
    importing.add_argument("-o", "--output", type=Path, help="default: FILE's name, here")
    for name in ("title", "artist", "licence", "credit"):
        importing.add_argument(f"--{name}", default="", help="what the file says of its style")
    importing.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args()
    output = args.output or Path(args.file.stem + SUFFIX)
    if output.suffix != SUFFIX:
        raise UserError(f"-o {output}: suffix {output.suffix!r}; expected {SUFFIX}. Change it.")
    if output.exists():
        raise UserError(f"{output}: exists; expected a new file. Choose another with -o.")
    from models.foreign import import_state

    model, weights = import_state(args.file)
    style = {name: getattr(args, name) for name in ("title", "artist", "licence", "credit")}
    info = StyleInfo(output.stem, {"model": model, "style": style})
    with told_of(output):
        write_style(output, weights, info, "float32")  # the same pixels, to the last bit or so
    print(output)
    return 0


if __name__ == "__main__":
    run_program(main)
