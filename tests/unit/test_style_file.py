"""A trained style on disk: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from configs.schema import Config, load_config
from models import style_file
from models.style_file import (
    Comparison,
    StyleFileError,
    StyleInfo,
    TrainingRun,
    find_style,
    load_style,
    read_info,
    rewrite_info,
    save_style,
)
from models.transformer_net import TransformerNet
from tests.conftest import ROOT


@pytest.fixture
def config() -> Config:
    return load_config(
        None, ["model.width=4", "model.num_blocks=1", "model.norm=batch", "style.licence=CC0"]
    )


@pytest.fixture
def saved(tmp_path: Path, config: Config) -> Path:
    torch.manual_seed(0)
    network = TransformerNet(4, 1, "batch")
    network(torch.rand(2, 3, 16, 16))  # moves the running statistics
    info = StyleInfo("mine", config.to_dict(), 12, {"total_loss": 1.5}, 3)
    save_style(tmp_path / "a.safetensors", network, info, "float32")
    save_style(tmp_path / "half.safetensors", network, info)
    torch.save(network.state_dict(), tmp_path / "state.pt")
    return tmp_path / "a.safetensors"


def test_round_trip(saved: Path, config: Config) -> None:
    x = torch.rand(1, 3, 20, 17)
    original = TransformerNet(4, 1, "batch")
    original.load_state_dict(torch.load(saved.with_name("state.pt"), weights_only=True))
    expected = original.eval()(x)
    network, info = load_style(saved)
    torch.testing.assert_close(network(x), expected, atol=1e-6, rtol=0)
    assert not network.training
    half, _ = load_style(saved.with_name("half.safetensors"))
    torch.testing.assert_close(half(x), expected, atol=5e-3, rtol=0)
    assert info == StyleInfo("mine", config.to_dict(), 12, {"total_loss": 1.5}, 3)
    assert saved.with_name("half.safetensors").stat().st_size < saved.stat().st_size


def test_the_file_describes_itself_to_any_safetensors_reader(saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "onestroke-style"
    assert metadata["format_version"] == "1"
    assert (metadata["name"], metadata["steps"], metadata["num_photos"]) == ("mine", "12", "3")
    assert metadata["licence"] == "CC0"
    assert json.loads(metadata["losses"]) == {"total_loss": 1.5}
    config = json.loads(metadata["config"])
    for key in ("network", "content_layers", "style_layers", "content_weight", "style_weight"):
        assert key in config["loss"]
    for key in ("tv_weight", "gram", "style_distance"):
        assert key in config["loss"]
    assert config["style"]["size_px"] == 384


def test_a_description_is_replaced_and_the_weights_stay(saved: Path) -> None:
    first = TrainingRun("", 8, 4, 2, "", "adam", 3e-3, 5.0, 3, "a cpu", 1.5, "", "", 2.5)
    second = TrainingRun(
        "mine", 4, 2, 0, "", "muon", 1e-3, 5.0, 3, "a gpu", 0.1, "abc", "train.py x"
    )
    compared = Comparison(2, 64, 1.25, {"50": 2.0}, 51.5)
    for path in (saved, saved.with_name("half.safetensors")):
        before, info = load_file(path), read_info(path)
        assert (info.runs, info.comparisons) == ((), ())
        told = dataclasses.replace(info, runs=(first, second), comparisons=(compared,))
        rewrite_info(path, told)
        assert read_info(path) == told
        after = load_file(path)
        assert before.keys() == after.keys()
        for name, weight in before.items():
            assert weight.dtype == after[name].dtype
            assert torch.equal(weight, after[name])
    assert "12 steps on 3 photos" in told.about


def rewrite(path: Path, change: dict[str, str | None], weights: dict[str, torch.Tensor]) -> None:
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    for key, value in change.items():
        metadata.pop(key, None)
        if value is not None:
            metadata[key] = value
    save_file(load_file(path) | weights, path, metadata=metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "pt"}, r"no trained style; expected one written by train\.py"),
        ({"format": None}, "no trained style"),
        ({"format_version": "2"}, "style format 2; expected at most 1. Update Onestroke"),
        ({"config": "{"}, "lacks or garbles"),
        ({"steps": None}, "lacks or garbles 'steps'"),
        ({"runs": '[{"steps": 1}]'}, "lacks or garbles"),
        ({"comparisons": "{"}, "lacks or garbles"),
        ({"config": '{"model": {"widht": 4}}'}, "describes no network that this version knows"),
        (
            {"config": '{"model": {"norm": "layer"}}'},
            "describes no network that this version knows",
        ),
        ({"config": '{"model": {"width": 8}}'}, r"expected .*The file is damaged"),
    ],
)
def test_foreign_newer_and_garbled_files(
    saved: Path, change: dict[str, str | None], message: str
) -> None:
    rewrite(saved, change, {})
    with pytest.raises(StyleFileError, match=message):
        load_style(saved)


def test_damaged_weights(saved: Path) -> None:
    name = "layers.0.0.conv.weight"
    rewrite(saved, {}, {name: torch.full_like(load_file(saved)[name], float("nan"))})
    with pytest.raises(StyleFileError, match="hold inf or NaN"):
        load_style(saved)
    rewrite(saved, {}, {name: torch.zeros(2), "more": torch.zeros(1)})
    with pytest.raises(StyleFileError, match=r"are \(2,\); expected \("):
        load_style(saved)


def test_truncated_missing_and_not_safetensors(saved: Path) -> None:
    content = saved.read_bytes()
    for cut in (4, 100, len(content) - 1):
        saved.write_bytes(content[:cut])
        with pytest.raises(StyleFileError, match="expected a whole style file"):
            load_style(saved)
    saved.write_text("<html>Not found</html>")
    with pytest.raises(StyleFileError, match="expected a whole style file"):
        load_style(saved)
    with pytest.raises(StyleFileError, match="no such file"):
        load_style(saved.with_name("none.safetensors"))


def test_styles_are_found_by_name_or_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style_file, "STYLES_DIR", saved.parent)
    assert find_style("half") == saved.with_name("half.safetensors")
    assert find_style(str(saved)) == saved
    with pytest.raises(
        StyleFileError, match=r"--style mona: no such style; expected one of a, half"
    ):
        find_style("mona")


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path, config: Config) -> None:
    network = TransformerNet(4, 1, "batch")
    with torch.no_grad():
        next(network.parameters()).fill_(1e6)
    info = StyleInfo("mine", config.to_dict())
    with pytest.raises(ValueError, match="not finite as float16"):
        save_style(tmp_path / "a.safetensors", network, info)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("styles/*.safetensors")), ids=lambda p: p.stem)
def test_shipped_styles_load_are_small_and_say_what_they_are(path: Path) -> None:
    network, info = load_style(path)
    assert path.stem == info.name
    assert path.stat().st_size < 4e6
    assert info.steps > 0
    assert info.config["style"]["licence"]
    with torch.no_grad():
        out = network(torch.rand(1, 3, 33, 18))
    assert out.shape == (1, 3, 33, 18)
    assert float(out.std()) > 0.01
