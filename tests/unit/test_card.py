"""A style's card, and what goes into it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from benchmarks import model_cards
from errors import UserError
from models.card import card
from models.style_file import (
    Comparison,
    StyleInfo,
    TrainingRun,
    read_info,
    save_style,
    weights_digest,
)
from models.transformer_net import TransformerNet
from provenance import commit, device_name

RUN = TrainingRun("", 1500, 4, 300, "", "adam", 3e-3, 5, 20, "a cpu", 60, "", "", 5.64e5)
HEAD = (
    "| steps | batch | small crops | optimizer, rate | style weight | photos | device | minutes "
    "| commit | held-out objective |"
)
STYLE = {"title": "Waves", "artist": "A. Painter", "licence": "CC0", "credit": "a museum"}


def test_a_card_says_all_that_the_file_does() -> None:
    last = dataclasses.replace(
        RUN, start="waves", small_steps=0, teacher="big", commit="abc", minutes=45.5, command="go"
    )
    compared = Comparison(50, 256, 1.49e5, {"50": 1.64e5, "300": 9.06e4}, 51.5, "a gpu")
    info = StyleInfo("waves", {"style": STYLE}, 1500, {}, 20, (RUN, last), (compared,))
    assert (
        card(info)
        == f"""## waves

Waves, A. Painter; CC0; a museum.

From fresh weights, 3,000 steps and 12,000 crops (the paper's: 160,000), 1.8 hours; each run \
goes on from the one above:

{HEAD}
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| 1,500 | 4 | 300 | Adam, 0.003 | 5 | 20 | a cpu | 60 | – | 5.64e5 |
| 1,500 | 4 | – | teacher big, Adam, 0.003 | 5 | 20 | a cpu | 46 | abc | 5.64e5 |

On 50 photos, 256 × 256 px (a gpu): 1.49e5. The iterative baseline from white noise after so many \
iterations: 50: 1.64e5, 300: 9.06e4. It passes the network at iteration 51.5 (median).

The last run, at abc:

    go
"""
    )


def test_a_short_run() -> None:
    text = card(StyleInfo("waves", {}, runs=(dataclasses.replace(RUN, minutes=1.5),)))
    assert "From fresh weights, 1,500 steps and 6,000 crops (the paper's: 160,000), 1.5 min" in text
    assert "| a cpu | 1.5 | – |" in text


def test_a_card_of_a_style_that_knows_little() -> None:
    assert card(StyleInfo("waves", {}, 3)) == "## waves\n\nwaves.\n\n3 steps on 0 photos.\n"


def test_a_comparison_goes_into_the_card_of_its_style(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_cards, "STYLES_DIR", tmp_path)
    torch.manual_seed(0)
    config = {"model": {"width": 4, "num_blocks": 1}}
    save_style(tmp_path / "mine.safetensors", TransformerNet(4, 1), StyleInfo("mine", config))
    row = {
        "style": "mine",
        "weights": weights_digest(tmp_path / "mine.safetensors"),
        "size_px": 64,
        "num_photos": 2,
        "network": {"total_loss": 3.0},
        "baseline": {i: {"total_loss": float(i)} for i in ("0", "25", "50", "300")},
        "crossing_quartiles": [1.0, None, None],
    }
    few = Comparison(2, 64, 3.0, {"50": 50.0, "300": 300.0}, None, "a cpu")
    assert read_info(model_cards.add_comparison(row, "a cpu")).comparisons == (few,)
    row |= {"num_photos": 9, "crossing_quartiles": [1.0, 51.5, None]}
    path = model_cards.add_comparison(row, "a gpu, bf16")
    many = dataclasses.replace(few, num_photos=9, crossing=51.5, machine="a gpu, bf16")
    assert read_info(path).comparisons == (many,)
    row |= {"size_px": 32}
    model_cards.add_comparison(row, "a cpu")
    after = (dataclasses.replace(many, size_px=32, machine="a cpu"), many)
    assert read_info(path).comparisons == after
    save_style(path, TransformerNet(4, 1), read_info(path))  # trained again
    with pytest.raises(
        UserError, match=rf"of weights {row['weights']}; expected {weights_digest(path)}"
    ):
        model_cards.add_comparison(row, "a cpu")
    assert read_info(path).comparisons == after


def test_objectives_of_two_style_weights_are_not_compared() -> None:
    full, lite = (
        StyleInfo("waves", {}, losses={"heldout_total_loss": value}, runs=(RUN,))
        for value in (2e5, 2.3e5)
    )
    assert model_cards.above(lite, full) == "15 %"
    run = dataclasses.replace(RUN, style_weight=RUN.style_weight + 1)
    assert model_cards.above(lite, dataclasses.replace(full, runs=(run,))) == "another style weight"


def test_where_it_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for threads, text in ((1, "cpu, 1 thread"), (2, "cpu, 2 threads")):
        monkeypatch.setattr("torch.get_num_threads", lambda threads=threads: threads)
        assert device_name("cpu").endswith(text)
    assert device_name("cpu", 2) == f"2 × {device_name('cpu')}"
    monkeypatch.setattr("provenance.ROOT", tmp_path)  # no repository, though one may be around it
    assert commit() == ""
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert commit() == ""
