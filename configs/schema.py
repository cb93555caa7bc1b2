"""The configuration: every key with its type, unit, default and valid values, in one place.

Order: the defaults here < a YAML file < `key=value` on the command line.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from data.formats import SUFFIXES
from errors import UserError
from losses.functional import CONTENT_DISTANCES, GRAMS, STYLE_DISTANCES
from models.layout import MIN_SIZE_PX, NORMS, OUTPUTS, PADDINGS, STEM_STRIDES, UPSAMPLES
from models.vgg import NETWORKS, NORMALIZATIONS, POOLINGS, layer_names

OPTIMIZERS = ("adam", "muon")
LR_SCHEDULES = ("constant", "cosine")
PRECISIONS = ("auto", "fp32", "bf16")
INITS = ("noise", "content")
METHODS = ("lbfgs", "adam")


class ConfigError(UserError):
    """Every problem of a configuration, a line each."""


@dataclass(frozen=True)
class ModelConfig:
    """The transformation network."""

    width: int = 32
    """Channels after the first layer; 2 and 4 times that further in."""
    num_blocks: int = 5
    """Residual blocks."""
    norm: str = "instance"
    """instance | batch."""
    upsample: str = "fractional4"
    """fractional4 | fractional3 (the paper's kernel) | resize (nearest, then a convolution)."""
    padding: str = "reflect"
    """reflect | reflect-start (once, before the first layer: the paper's) | zero."""
    output: str = "tanh"
    """tanh | linear (cut to [0, 1], the last layer not balanced: as other trainers have it)."""
    stem_stride: int = 1
    """1 | 2 (the first layer halves the photo, the last one doubles it: faster)."""


@dataclass(frozen=True)
class StyleConfig:
    """The style image, and what the trained style's file says of it."""

    image: str = ""
    """The style image's file."""
    size_px: int = 384
    """Its longer side in pixels when it is trained from: decides how large strokes come out."""
    title: str = ""
    """The work's title."""
    artist: str = ""
    """Who made it, and when."""
    licence: str = ""
    """The style image's licence."""
    credit: str = ""
    """Whom to credit, or where the image comes from."""


@dataclass(frozen=True)
class LossConfig:
    """The objective (docs/objective.md)."""

    network: str = "vgg16"
    """vgg16 | vgg19."""
    weights: str = "bundled"
    """bundled | torchvision | torchvision:IMAGENET1K_V1 | a .safetensors or .pth file."""
    normalization: str = "auto"
    """Input the weights expect: auto (by the weights) | original (0…255 minus mean) | imagenet."""
    pooling: str = "max"
    """max | average."""
    content_layers: dict[str, float] = field(default_factory=lambda: {"relu3_3": 1.0})
    """Layer → its weight inside the content loss."""
    style_layers: dict[str, float] = field(
        default_factory=lambda: {
            "relu1_2": 1.0,
            "relu2_2": 1.0,
            "relu3_3": 1.0,
            "relu4_3": 1.0,
        }
    )
    """Layer → its weight inside the style loss."""
    content_weight: float = 1.0
    """Factor of the content loss."""
    style_weight: float = 5.0
    """Factor of the style loss."""
    tv_weight: float = 1e-6
    """Factor of the total variation."""
    gram: str = "chw"
    """What a Gram matrix is divided by: chw | hw | none."""
    content_distance: str = "mean"
    """mean | half_sum (Gatys)."""
    style_distance: str = "mean"
    """mean | frobenius (the paper's text) | gatys (needs gram none)."""


@dataclass(frozen=True)
class DataConfig:
    """The photos."""

    root: str = ""
    """A folder of photos at any depth, a .zip of them, or a .txt list of paths."""
    size_px: int = 256
    """Side of the square crops, in pixels."""
    max_zoom: float = 1.0625
    """Before cropping, the shorter side becomes size_px times a random factor from 1 to this."""
    num_workers: int = -1
    """Processes that decode photos; 0: none but the training one, -1: one on the CPU, beside a GPU
    one a core, up to 16. The photos are the same."""
    cache: str = ""
    """A folder that keeps the photos decoded, for training many styles; empty: none."""
    heldout_root: str = ""
    """Photos for the held-out objective; empty: some of root's, which are then not trained on."""
    num_heldout: int = 10
    """At most so many held-out photos, the first by name, centre-cropped to size_px."""


@dataclass(frozen=True)
class TrainConfig:
    """The optimization."""

    max_steps: int = 40_000
    """Optimizer updates: exactly so many."""
    batch_size: int = 4
    """Photos a step."""
    optimizer: str = "adam"
    """adam | muon (for the convolutions but the last; Adam moves the rest)."""
    learning_rate: float = 1e-3
    """The optimizer's, after the warm-up."""
    output_rate: float = 0.1
    """Share of the learning rate for the last layer, which no normalisation follows."""
    lr_schedule: str = "constant"
    """constant | cosine (falls to zero at max_steps)."""
    small_share: float = 0.0
    """Share of the steps, the first, whose crops have half the side: a quarter of the work."""
    warmup_steps: int = 0
    """Over so many steps the learning rate rises linearly."""
    precision: str = "auto"
    """auto (bf16 where the device is fast at it) | fp32 | bf16 (sums and weights stay float32)."""
    seed: int = 0
    """Of the network's start and of the photos' order, crops and flips."""
    start: str = ""
    """A trained style, by name or file, whose weights are the network's start."""
    teacher: str = ""
    """A trained style, by name or file, whose paintings the network learns before the objective."""
    teacher_share: float = 0.5
    """Share of the steps, the first, that learn from the teacher, where there is one."""
    save_every_steps: int = 1000
    """Steps between checkpoints; one is always written at the end."""


@dataclass(frozen=True)
class LogConfig:
    """What a run writes while it goes."""

    log_every_steps: int = 10
    """Steps between lines of metrics.jsonl and TensorBoard's scalars."""
    image_every_steps: int = 500
    """Steps between pictures and held-out objectives (also at the start and at the end)."""


@dataclass(frozen=True)
class OptimizeConfig:
    """The iterative baseline (optimize.py)."""

    init: str = "noise"
    """noise (mean 127.5, σ 50 of 255) | content | an image file."""
    noise_ratio: float = 1.0
    """With init noise: the noise's share, the rest is the photo (1: noise only)."""
    method: str = "lbfgs"
    """lbfgs | adam."""
    iterations: int = 500
    """Of the method, at each size."""
    size_px: int = 512
    """Longer side of the picture in pixels, where the photo has as many; 0: the photo's own."""
    num_sizes: int = 1
    """Coarse to fine: sizes from size_px / 2 ** (num_sizes - 1) on, each twice the one before."""
    texture_height_px: int = 0
    """Height of a texture without a photo, size_px wide; 0: as high as wide."""
    learning_rate: float = 0.02
    """Adam's, of pixels in [0, 1]."""
    history: int = 100
    """Pairs of steps and gradient differences that L-BFGS remembers; adam: none."""
    precision: str = "fp32"
    """fp32 | bf16 | auto (bf16 where the device is fast at it): the loss network's."""
    snapshot_every: int = 50
    """Iterations between saved pictures; 0: none."""
    seed: int = 0
    """Of the noise."""


@dataclass(frozen=True)
class Config:
    """Everything that decides a result; saved with it."""

    name: str = ""
    """The style's name; empty: the config file's."""
    model: ModelConfig = ModelConfig()
    style: StyleConfig = StyleConfig()
    loss: LossConfig = LossConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    log: LogConfig = LogConfig()
    optimize: OptimizeConfig = OptimizeConfig()

    def to_dict(self) -> dict[str, Any]:
        """Return the config as nested dictionaries of plain values."""
        return dataclasses.asdict(self)

    def to_yaml(self) -> str:
        """Return the config as YAML that `load_config` reads back to an equal one."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)


CHOICES: dict[str, tuple[str, ...] | tuple[int, ...]] = {
    "model.norm": NORMS,
    "model.upsample": UPSAMPLES,
    "model.padding": PADDINGS,
    "model.output": OUTPUTS,
    "model.stem_stride": STEM_STRIDES,
    "loss.network": tuple(NETWORKS),
    "loss.normalization": NORMALIZATIONS,
    "loss.pooling": POOLINGS,
    "loss.gram": GRAMS,
    "loss.content_distance": CONTENT_DISTANCES,
    "loss.style_distance": STYLE_DISTANCES,
    "train.optimizer": OPTIMIZERS,
    "train.lr_schedule": LR_SCHEDULES,
    "train.precision": PRECISIONS,
    "optimize.method": METHODS,
    "optimize.precision": PRECISIONS,
}
MINIMA: dict[str, float] = {
    "model.width": 1,
    "model.num_blocks": 0,
    "style.size_px": MIN_SIZE_PX,
    "loss.content_weight": 0,
    "loss.style_weight": 0,
    "loss.tv_weight": 0,
    "data.size_px": MIN_SIZE_PX,
    "data.max_zoom": 1,
    "data.num_workers": -1,
    "data.num_heldout": 0,
    "train.max_steps": 1,
    "train.batch_size": 1,
    "train.learning_rate": 0,
    "train.output_rate": 0,
    "train.small_share": 0,
    "train.teacher_share": 0,
    "train.warmup_steps": 0,
    "train.seed": 0,
    "train.save_every_steps": 1,
    "log.log_every_steps": 1,
    "log.image_every_steps": 1,
    "optimize.noise_ratio": 0,
    "optimize.iterations": 1,
    "optimize.size_px": 0,
    "optimize.num_sizes": 1,
    "optimize.texture_height_px": 0,
    "optimize.learning_rate": 0,
    "optimize.history": 1,
    "optimize.snapshot_every": 0,
    "optimize.seed": 0,
}


def load_config(
    path: Path | None, overrides: Iterable[str] = (), required: Iterable[str] = ()
) -> Config:
    """Return the validated config of a YAML file (None: the defaults) and `key=value` overrides.

    `required` names keys that must not be empty. Raises ConfigError that lists every problem.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    if path is not None:
        tree = _read_yaml(path)
        _flatten(Config, tree, "", f"{path}: ", values, problems)
        values.setdefault("name", path.stem)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            problems.append(f"{override!r}: no '='; expected key=value, like train.max_steps=500")
            continue
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        if _type_of(key) is str:
            value = text  # `no`, `1e5` and `~` mean themselves where a string is expected
        tree = value
        for part in reversed(key.split(".")):
            tree = {part: tree}
        _flatten(Config, tree, "", "command line: ", values, problems)
    config: Config = _build(Config, "", values)
    problems += _check(config, required) if not problems else []
    if problems:
        where = path or "config"
        if len(problems) == 1:
            raise ConfigError(problems[0] + ".")
        raise ConfigError(f"{where}: {len(problems)} problems:\n  " + "\n  ".join(problems))
    return config


def config_from_dict(tree: Mapping[str, Any], where: str) -> Config:
    """Return the validated config of nested dictionaries, as a style file carries one.

    Raises ConfigError that starts with `where`.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    _flatten(Config, tree, "", "", values, problems)
    config: Config = _build(Config, "", values)
    problems += _check(config, ()) if not problems else []
    if problems:
        raise ConfigError(f"{where}: its config does not fit this version: {'; '.join(problems)}.")
    return config


def _read_yaml(path: Path) -> Any:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(
            f"{path}: {reason}; expected a YAML file. The ready ones are in configs/."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{path}: not YAML ({' '.join(str(error).split())}); expected sections of key: value. "
            "Correct the line."
        ) from error
    return {} if tree is None else tree


def _types(section: type) -> dict[str, Any]:
    return typing.get_type_hints(section)


def _type_of(key: str) -> Any:
    """The type of a dotted key, or None where there is no such key."""
    kind: Any = Config
    for part in key.split("."):
        kind = _types(kind).get(part) if isinstance(kind, type) else None
    return kind


def _flatten(
    section: type,
    tree: Any,
    prefix: str,
    where: str,
    values: dict[str, Any],
    problems: list[str],
) -> None:
    """Put a tree's leaves, converted, into `values` under their dotted keys."""
    if not isinstance(tree, Mapping):
        what = prefix.rstrip(".") or "the file"
        problems.append(f"{where}{what}: {tree!r}; expected keys with values")
        return
    kinds = _types(section)
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if key not in kinds:
            close = difflib.get_close_matches(str(key), kinds, 1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"one of {', '.join(kinds)}"
            problems.append(f"{where}{dotted}: unknown key; {hint}")
        elif dataclasses.is_dataclass(kinds[key]):
            _flatten(
                typing.cast(type, kinds[key]),
                value,
                f"{dotted}.",
                where,
                values,
                problems,
            )
        else:
            try:
                values[dotted] = _convert(kinds[key], value)
            except (TypeError, ValueError):
                problems.append(f"{where}{dotted}: {value!r}; expected {_describe(kinds[key])}")


def _describe(kind: Any) -> str:
    if isinstance(kind, types.GenericAlias):
        return "a mapping of layer to weight, like {relu3_3: 1.0}"
    return {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
    }[kind]


def _convert(kind: Any, value: Any) -> Any:
    """Return a YAML value as the key's type. PyYAML reads `1e5` as text: numbers take it."""
    if isinstance(kind, types.GenericAlias):
        if not isinstance(value, Mapping):
            raise TypeError
        return {str(name): _convert(float, weight) for name, weight in value.items()}
    if isinstance(value, bool):
        raise TypeError
    if kind is str:
        if value is not None and not isinstance(value, str):
            raise TypeError
        return value or ""
    number = float(value)
    if not math.isfinite(number) or (kind is int and number != int(number)):
        raise ValueError
    return kind(number)


def _build(section: type, prefix: str, values: Mapping[str, Any]) -> Any:
    arguments: dict[str, Any] = {}
    for key, kind in _types(section).items():
        if dataclasses.is_dataclass(kind):
            arguments[key] = _build(typing.cast(type, kind), f"{prefix}{key}.", values)
        elif f"{prefix}{key}" in values:
            arguments[key] = values[f"{prefix}{key}"]
    return section(**arguments)


def _get(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _check(config: Config, required: Iterable[str]) -> list[str]:
    """Return every value that is outside its range, and every contradiction."""
    problems = [f"{key}: empty; set it with {key}=…" for key in required if not _get(config, key)]
    for key, choices in CHOICES.items():
        if (value := _get(config, key)) not in choices:
            problems.append(f"{key}: {value!r}; expected one of {', '.join(map(str, choices))}")
    for key, minimum in MINIMA.items():
        if (value := _get(config, key)) < minimum:
            problems.append(f"{key}: {value}; expected at least {minimum:g}")
    init = config.optimize.init
    if init not in INITS and Path(init).suffix.lower() not in SUFFIXES:
        problems.append(
            f"optimize.init: {init!r}; expected one of {', '.join(INITS)}, or an image file"
        )
    if config.optimize.noise_ratio > 1:
        problems.append(f"optimize.noise_ratio: {config.optimize.noise_ratio}; expected 0 to 1")
    for key in ("train.small_share", "train.teacher_share"):
        if (value := _get(config, key)) > 1:
            problems.append(f"{key}: {value}; expected 0 to 1")
    if config.train.small_share > 0 and config.data.size_px < 2 * MIN_SIZE_PX:
        problems.append(
            f"data.size_px: {config.data.size_px}; expected at least {2 * MIN_SIZE_PX} with "
            "train.small_share"
        )
    loss = config.loss
    if loss.network in NETWORKS:
        names = layer_names(loss.network)
        for section in ("content_layers", "style_layers"):
            for name, weight in getattr(loss, section).items():
                if name not in names:
                    close = difflib.get_close_matches(name, names, 1)
                    hint = f"did you mean {close[0]}?" if close else f"{names[0]} … {names[-1]}"
                    problems.append(
                        f"loss.{section}: {name!r} is no layer of {loss.network}; {hint}"
                    )
                if weight < 0:
                    problems.append(f"loss.{section}: {name}: {weight}; expected at least 0")
    if loss.style_distance == "gatys" and loss.gram != "none":
        problems.append(
            f"loss.style_distance: gatys with loss.gram {loss.gram}; gatys divides the Gram "
            "matrices itself: expected loss.gram none"
        )
    return problems
