"""The configuration: types, order, and every problem named at once."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from configs.schema import CHOICES, MINIMA, Config, ConfigError, config_from_dict, load_config
from tests.conftest import ROOT


def problems(*overrides: str, required: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(None, overrides, required)
    return str(caught.value)


def test_defaults_then_file_then_command_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("train: {max_steps: 7, seed: 3}\n")
    config = load_config(path, ["train.seed=4"])
    assert (config.name, config.train.max_steps, config.train.seed) == ("mine", 7, 4)
    assert config.train.batch_size == Config().train.batch_size


def test_the_canonical_objective_is_the_default() -> None:
    loss = Config().loss
    assert loss.content_layers == {"relu3_3": 1.0}
    assert loss.style_layers == dict.fromkeys(("relu1_2", "relu2_2", "relu3_3", "relu4_3"), 1.0)
    assert (loss.content_weight, loss.style_weight, loss.tv_weight) == (1.0, 5.0, 1e-6)
    assert (loss.network, loss.gram, loss.style_distance) == ("vgg16", "chw", "mean")
    assert Config().style.size_px == 384


def test_numbers_and_words_that_yaml_misreads() -> None:
    config = load_config(
        None,
        [
            "train.learning_rate=1e-3",
            "train.max_steps=4e4",
            "name=no",
            "style.title=1e5",
            "loss.style_layers={relu1_2: 1e0}",
        ],
    )
    assert config.train.learning_rate == 1e-3
    assert config.train.max_steps == 40_000
    assert (config.name, config.style.title) == ("no", "1e5")
    assert config.loss.style_layers == {"relu1_2": 1.0}


def test_a_config_survives_yaml_and_json(tmp_path: Path) -> None:
    config = load_config(None, ["loss.style_layers={conv5_1: 0.2}", "style.title=Ü: 'no'"])
    (tmp_path / "a.yaml").write_text(config.to_yaml(), encoding="utf-8")
    assert load_config(tmp_path / "a.yaml") == dataclasses.replace(config, name="")
    assert config_from_dict(config.to_dict(), "a") == config
    with pytest.raises(ConfigError, match=r"a: its config does not fit this version: colour"):
        config_from_dict({"colour": 1}, "a")


def test_unknown_keys_get_the_nearest_name() -> None:
    assert "unknown key; did you mean train.max_steps?" in problems("train.maxsteps=5")
    assert "unknown key; did you mean train?" in problems("trian.max_steps=5")
    assert "unknown key; one of style, loss" not in problems("zzz=1")


def test_all_problems_are_listed_together(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("data: {size_px: big}\nloss: {gram_: chw}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "bad.yaml", ["train.max_steps=many", "oops"])
    text = str(caught.value)
    assert "4 problems" in text
    for part in ("data.size_px: 'big'; expected a whole number", "loss.gram_", "'many'", "'oops'"):
        assert part in text


@pytest.mark.parametrize("key", CHOICES)
def test_every_choice_is_checked_and_names_the_valid_ones(key: str) -> None:
    valid = CHOICES[key]
    wrong = "wrong" if isinstance(valid[0], str) else 7
    expected = f"{key}: {wrong!r}; expected one of {', '.join(map(str, valid))}."
    assert problems(f"{key}={wrong}") == expected


@pytest.mark.parametrize("key", MINIMA)
def test_every_minimum_is_checked(key: str) -> None:
    assert f"{key}: -2" in problems(f"{key}=-2")


def test_contradictions() -> None:
    assert "gatys with loss.gram chw" in problems("loss.style_distance=gatys")
    assert "'relu3_9' is no layer of vgg16; did you mean" in problems(
        "loss.content_layers={relu3_9: 1}"
    )
    assert "no layer of vgg16" in problems("loss.style_layers={relu4_4: 1}")
    assert load_config(None, ["loss.network=vgg19", "loss.style_layers={relu4_4: 1}"])
    assert "at least 0" in problems("loss.style_layers={relu4_3: -1}")
    assert "expected 0 to 1" in problems("optimize.noise_ratio=1.5")
    for key in ("train.small_share", "train.teacher_share"):
        assert f"{key}: 1.5; expected 0 to 1" in problems(f"{key}=1.5")
    small = problems("train.small_share=0.5", "data.size_px=24")
    assert "data.size_px: 24; expected at least 32 with train.small_share" in small
    assert "data.root: empty; set it with data.root=" in problems(required=("data.root",))


@pytest.mark.parametrize("value", ["yes", "[1]", "nan", "1.5", ""])
def test_whole_numbers_are_whole(value: str) -> None:
    assert "expected a whole number" in problems(f"train.max_steps={value}")


def test_files_that_are_no_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory; expected a YAML file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="expected keys with values"):
        load_config(tmp_path / "b.yaml")


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/**/*.yaml")), ids=lambda p: p.stem)
def test_every_config_loads_and_opens_with_its_command(path: Path) -> None:
    load_config(path)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert re.match(rf"# python (train|optimize)\.py .*{re.escape(path.name)}", first)


def test_every_key_is_read_by_the_code() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for pattern in ("*.py", "*/*.py")
        for path in ROOT.glob(pattern)
        if path.name != "schema.py" and path.parts[-2] not in ("tests", "benchmarks")
    )
    for section in dataclasses.fields(Config):
        if section.name in ("name", "model", "style"):
            continue  # model: passed on whole; style: its texts are the style file's description
        for field in dataclasses.fields(getattr(Config(), section.name)):
            assert re.search(rf"\.{field.name}\b", code), f"{section.name}.{field.name}"


def test_commands_in_the_docs_name_configs_and_keys_that_exist() -> None:
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for command in re.findall(r"python train\.py (\S+\.yaml)([^\n`]*)", text):
            keys = re.findall(r"[a-z_]+\.[a-z_]+=\S+", command[1])
            load_config(ROOT / command[0], keys)
