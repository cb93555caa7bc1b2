"""Checkpoints, records and the held-out split."""

from __future__ import annotations

import contextlib
import copy
import json
from functools import partial
from pathlib import Path

import pytest
import torch

from configs.build import build_network, build_objective
from configs.schema import load_config
from errors import UserError
from models.style_file import find_style, load_style
from models.transformer_net import ConvLayer, TransformerNet
from tests.conftest import ROOT, STYLES
from train import build_optimizers, gradient_norm
from training.checkpoints import RunState, checkpoints, load_last_checkpoint, save_checkpoint
from training.compiling import compiled
from training.heldout import split_names
from training.muon import Muon
from training.run_log import RunLog
from training.teacher import Teacher


def test_the_last_two_checkpoints_are_kept_and_the_newest_is_read(tmp_path: Path) -> None:
    assert load_last_checkpoint(tmp_path) is None
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, step, {"step": step, "value": torch.ones(2) * step})
    assert [path.name for path in checkpoints(tmp_path)] == ["step_00000010.pt", "step_00000015.pt"]
    assert len(list(tmp_path.iterdir())) == 2
    state = load_last_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 15


def test_a_broken_checkpoint_is_passed_over_and_several_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = (save_checkpoint(tmp_path, step, {"step": step}) for step in (5, 10))
    newer.write_bytes(newer.read_bytes()[:100])
    state = load_last_checkpoint(tmp_path)
    assert state == {"step": 5}
    said = capsys.readouterr().err
    assert f"{newer}: cannot be read (" in said
    assert "; going on from step_00000005.pt" in said
    save_checkpoint(tmp_path, 7, {"step": 7})  # the broken one is of a time undone
    assert [path.name for path in checkpoints(tmp_path)] == ["step_00000005.pt", "step_00000007.pt"]
    for path in checkpoints(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(
        UserError, match=r"nor can any other there; expected a checkpoint\. Put one"
    ):
        load_last_checkpoint(tmp_path)
    assert older.exists()


def test_a_run_goes_back_to_exactly_where_it_was() -> None:
    torch.manual_seed(3)
    network = torch.nn.Linear(4, 2)
    run = RunState(network, [Muon([network.weight]), torch.optim.Adam([network.bias])])

    def learn() -> torch.Tensor:
        network.zero_grad()
        network(torch.rand(5, 4)).square().sum().backward()
        for optimizer in run.optimizers:
            optimizer.step()
        run.step += 1
        return torch.nn.utils.parameters_to_vector(network.parameters()).detach()

    learn()
    state = copy.deepcopy(run.state_dict())
    first = learn()
    run.load_state_dict(state)
    assert (run.step, run.draw) == (1, 0)
    assert torch.equal(learn(), first)


def test_resuming_cuts_the_records_after_the_checkpoint(tmp_path: Path) -> None:
    with RunLog(tmp_path, None, "name: x\n") as log:
        for step in (1, 2, 3):
            log.metrics(step, {"total_loss": step}, {"learning_rate": 0.1})
        assert log.note_skipped({"a.jpg": "empty"})
        assert not log.note_skipped({"a.jpg": "empty"})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "tot')  # killed while writing
    with RunLog(tmp_path, 2, "name: x\n") as log:
        log.metrics(3, {"total_loss": 30}, {})
        assert not log.note_skipped({"a.jpg": "empty"})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["total_loss"]) for line in lines] == [(1, 1), (2, 2), (3, 30)]
    assert (tmp_path / "skipped.txt").read_text() == "a.jpg\tempty\n"


def test_heldout_photos_are_not_trained_on() -> None:
    names = [f"{i:03d}" for i in range(200)]
    training, heldout = split_names(names, 10)
    assert len(heldout) == 10
    assert sorted(training + heldout) == names
    assert split_names(names[:9], 10) == (names[:9], [])
    assert len(split_names(names[:40], 10)[1]) == 4


def test_without_a_compiler_a_function_runs_as_it_is_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return (x.sin() * 3).cumsum(0)

    x = torch.rand(70, 3)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    faster = compiled(function)
    with torch._inductor.config.patch({"cpp.cxx": ("/no/compiler",)}):
        for _ in range(2):
            assert torch.equal(faster(x), function(x))
    said = capsys.readouterr().err
    assert said.count("--compile: not possible here (") == 1
    assert "); going on without" in said


def test_each_size_is_compiled_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[object, ...]] = []

    def recorder(
        graph: torch.fx.GraphModule, given: list[torch.Tensor], **_: object
    ) -> torch.fx.GraphModule:
        shapes.extend(tuple(one.shape) for one in given)
        return graph

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=recorder))
    double = compiled(lambda x: x * 2)
    for side in (8, 16, 8):
        double(torch.rand(2, side))
    assert shapes == [(2, 8), (2, 16)]
    assert all(type(side) is int for shape in shapes for side in shape)


def test_compiled_gradients_are_those_of_the_layers() -> None:
    """In bf16 GCC 12 makes NaN of them on some CPUs with AVX-512 (docs/training.md)."""
    torch.manual_seed(0)
    layer = ConvLayer(16, 32, 3, 1, "instance", "reflect").to(memory_format=torch.channels_last)
    photos = torch.randn(1, 16, 16, 16).to(memory_format=torch.channels_last)
    gradients = []
    for one in (layer, compiled(layer)):
        x = photos.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            loss = one(x).float().square().mean()
        gradients.append(torch.autograd.grad(loss, [x, *layer.parameters()]))
    for expected, found in zip(*gradients, strict=True):
        assert float((found - expected).norm() / expected.norm()) < 0.05


def test_a_teacher_asks_for_its_paintings_and_for_nothing_else() -> None:
    teacher = Teacher("wave", torch.device("cpu"))
    torch.manual_seed(0)
    network, photos = TransformerNet(width=4, num_blocks=0), torch.rand(2, 3, 32, 32)
    terms = teacher.score(network, photos)
    painting = load_style(find_style("wave"))[0](photos)
    with torch.no_grad():
        apart = float((network(photos) - painting).square().mean())
    assert terms.floats()["total_loss"] == pytest.approx(apart, rel=1e-4)
    assert terms.floats()["style_loss"] == 0
    torch.autograd.backward(terms.total_loss)
    assert all(parameter.grad is not None for parameter in network.parameters())
    same = teacher.score(load_style(find_style("wave"))[0], photos)
    assert float(same.total_loss) == 0
    with pytest.raises(UserError, match=r"^train\.teacher waves: no such style; expected one of"):
        Teacher("waves", torch.device("cpu"))


@pytest.mark.parametrize("config", ["default", "paper", "quickstart", "lite"])
@pytest.mark.parametrize("teacher", [None, "wave-lite"])
def test_a_step_keeps_to_its_device(
    monkeypatch: pytest.MonkeyPatch, config: str, teacher: str | None
) -> None:
    """The meta device computes nothing, and refuses what lies on another, as a GPU does.

    Nor can it be read: a GPU is waited for in `LossTerms.floats` alone, once a step.
    """
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # has none
    image = STYLES / "night_wind.jpg"
    settings = load_config(ROOT / f"configs/{config}.yaml", [f"style.image={image}"], ())
    meta = torch.device("meta")
    objective = build_objective(settings.loss, image, 64, meta)
    network = build_network(settings.model, settings.train.start).to(meta)
    optimizers = build_optimizers(network, settings.train, meta)
    images = torch.rand(2, 3, 64, 64, device=meta)
    if teacher:
        terms = Teacher(teacher, meta).score(network, images)
    else:
        terms = objective(network(images), objective.content_features(images))
    terms.total_loss.backward()
    length = gradient_norm(network)
    with pytest.raises(NotImplementedError, match="no data"):
        terms.floats(gradient_norm=length)
    for optimizer in optimizers:
        optimizer.step()
    moved = {value.device for o in optimizers for s in o.state.values() for value in s.values()}
    assert meta in moved
    assert moved <= {meta, torch.device("cpu")}  # Adam counts its steps on the CPU
