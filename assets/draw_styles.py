"""Draw our own style images: `python -m assets.draw_styles` writes assets/styles/*.jpg.

Each has what a painting gives a network to learn from: few colours, and texture at several scales.
Everything comes from one seed, so the images can be drawn again, or at another size.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

FOLDER = Path(__file__).parent / "styles"
WIDTH, HEIGHT = 640, 512
SCALE = 2  # drawn larger, then reduced: smooth edges
SEED = 20161011  # ECCV 2016

Field = NDArray[np.float64]
Colour = tuple[int, int, int]


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, draw in (
        ("night_wind", night_wind),
        ("stained_glass", stained_glass),
        ("woodcut", woodcut),
        ("watercolour", watercolour),
    ):
        image = draw(np.random.default_rng(SEED)).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        image.save(FOLDER / f"{name}.jpg", quality=92, subsampling=0)
        print(FOLDER / f"{name}.jpg")
    return 0


def smooth_noise(random: np.random.Generator, cells: int) -> Field:
    """Return a smooth random field over the canvas, H × W in [0, 1], `cells` bumps across."""
    rows = max(2, round(cells * HEIGHT / WIDTH)) + 2
    grid = Image.fromarray(random.random((rows, cells + 2)).astype(np.float32))
    field = np.asarray(
        grid.resize((WIDTH * SCALE, HEIGHT * SCALE), Image.Resampling.BICUBIC), float
    )
    ranks = field.ravel().argsort().argsort().reshape(field.shape)
    return (
        ranks / field.size
    )  # every value equally frequent: each colour of a palette gets its share


def from_palette(
    palette: list[Colour], value: float, random: np.random.Generator, spread: int
) -> Colour:
    """Return the palette's colour at `value` in [0, 1], shaken a little."""
    base = palette[min(int(value * len(palette)), len(palette) - 1)]
    light = random.normal(0, spread)
    red, green, blue = (
        int(np.clip(c + light + random.normal(0, spread / 3), 0, 255)) for c in base
    )
    return red, green, blue


def night_wind(random: np.random.Generator) -> Image.Image:
    """Brush strokes that follow the wind around a few eddies, in layers from broad to fine."""
    width, height = WIDTH * SCALE, HEIGHT * SCALE
    y, x = np.mgrid[0:height, 0:width].astype(float)
    angle = 0.5 * np.pi * (smooth_noise(random, 4) - 0.5)
    u, v = np.cos(angle), np.sin(angle)
    tone = smooth_noise(random, 5)
    for cx, cy, radius, turn in (
        (0.24, 0.30, 0.22, 1),
        (0.68, 0.24, 0.16, -1),
        (0.52, 0.72, 0.24, 1),
        (0.9, 0.68, 0.15, -1),
        (0.08, 0.85, 0.14, -1),
    ):
        dx, dy = x - cx * width, y - cy * height
        distance = np.hypot(dx, dy) + 1e-6
        pull = 3 * np.exp(-((distance / (radius * width)) ** 2))
        u, v = u - turn * pull * dy / distance, v + turn * pull * dx / distance
        # rings of light around the eddies
        tone += (
            0.55
            * np.exp(-((distance / (0.5 * radius * width)) ** 2))
            * (0.6 + 0.4 * np.cos(distance / 26))
        )
    tone = np.clip(tone, 0, 0.999)
    length = np.hypot(u, v)
    u, v = u / length, v / length
    palette: list[Colour] = [
        (12, 20, 58),
        (20, 44, 104),
        (28, 78, 140),
        (44, 120, 158),
        (98, 160, 158),
        (206, 196, 132),
        (240, 190, 62),
        (226, 112, 42),
    ]
    image = Image.new("RGB", (width, height), palette[1])
    pen = ImageDraw.Draw(image)
    for count, reach, thick in ((2600, 120, 26), (5200, 84, 15), (7000, 50, 8)):
        for _ in range(count):
            px, py = random.uniform(0, width), random.uniform(0, height)
            colour = from_palette(palette, float(tone[int(py), int(px)]), random, 15)
            points = [(px, py)]
            for _ in range(reach // 6):
                row, column = int(np.clip(py, 0, height - 1)), int(np.clip(px, 0, width - 1))
                px, py = px + 6 * u[row, column], py + 6 * v[row, column]
                points.append((px, py))
            stroke(pen, points, thick, colour, random)
    return image


def stroke(
    pen: ImageDraw.ImageDraw,
    points: list[tuple[float, float]],
    thick: int,
    colour: Colour,
    random: np.random.Generator,
) -> None:
    """Draw a brush stroke: bristles side by side, each a little lighter or darker than the next."""
    bristles = max(2, thick // 4)
    dx, dy = points[-1][0] - points[0][0], points[-1][1] - points[0][1]
    norm = math.hypot(dx, dy) or 1.0
    for bristle in range(bristles):
        offset = (bristle / (bristles - 1) - 0.5) * thick * 0.8
        shade = random.normal(0, 16) + 18 * (bristle / (bristles - 1) - 0.5)
        red, green, blue = (int(np.clip(c + shade, 0, 255)) for c in colour)
        shifted = [(px - dy / norm * offset, py + dx / norm * offset) for px, py in points]
        pen.line(shifted, (red, green, blue), max(2, round(1.6 * thick / bristles)), joint="curve")


def stained_glass(random: np.random.Generator) -> Image.Image:
    """Panes of coloured glass, uneven in themselves, between dark lead."""
    width, height = WIDTH * SCALE, HEIGHT * SCALE
    y, x = np.mgrid[0:height, 0:width].astype(float)
    warp = 46 * (smooth_noise(random, 9) - 0.5)
    first: Field = np.full((height, width), np.inf)
    second = first.copy()
    pane: NDArray[np.int64] = np.zeros((height, width), np.int64)
    centres = []
    for _ in range(210):  # small panes crowd together, as around a window's figure
        cx, cy = random.uniform(-0.05, 1.05), random.uniform(-0.05, 1.05)
        if random.random() < 0.35:
            cx, cy = random.normal(0.5, 0.2), random.normal(0.5, 0.24)
        centres.append((cx, cy))
    for index, (cx, cy) in enumerate(centres):
        distance = np.hypot(x + warp - cx * width, y - warp - cy * height)
        nearer = distance < first
        second = np.where(nearer, first, np.minimum(second, distance))
        pane = np.where(nearer, index, pane)
        first = np.minimum(first, distance)
    palette: list[Colour] = [
        (178, 20, 34),
        (226, 82, 24),
        (246, 182, 38),
        (20, 96, 60),
        (16, 62, 150),
        (34, 134, 190),
        (92, 30, 110),
        (240, 226, 180),
    ]
    tone = smooth_noise(random, 4)
    colours = np.array(
        [
            from_palette(
                palette,
                float(
                    tone[int(np.clip(cy, 0, 0.99) * height), int(np.clip(cx, 0, 0.99) * width)]
                    + random.normal(0, 0.14)
                )
                % 1.0,
                random,
                12,
            )
            for cx, cy in centres
        ],
        float,
    )
    light = 0.62 + 0.5 * smooth_noise(random, 14) + 0.22 * (smooth_noise(random, 70) - 0.5)
    glow = 1.12 - 0.9 * np.clip(first / 120, 0, 1) * 0.5
    glass = colours[pane] * (light * glow)[..., None]
    lead = np.clip((second - first) / 2 - (2 + 2.5 * smooth_noise(random, 20)), 0, 2.5) / 2.5
    rim = np.clip((second - first) / 2 - 4, 0, 9) / 9
    metal = (24 + 26 * smooth_noise(random, 90))[..., None] * np.array([1.0, 0.95, 0.9])
    picture = metal + (glass * (0.55 + 0.45 * rim)[..., None] - metal) * lead[..., None]
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def woodcut(random: np.random.Generator) -> Image.Image:
    """Carved lines that swell with the tone, black and two colours of ink on cream paper."""
    height, width = HEIGHT * SCALE, WIDTH * SCALE
    y, x = np.mgrid[0:height, 0:width].astype(float)
    tone = 0.65 * smooth_noise(random, 4) + 0.35 * smooth_noise(random, 10)
    bend = smooth_noise(random, 4)
    regions = (smooth_noise(random, 5) * 4).astype(int)
    ink: Field = np.zeros((height, width))
    wobble = 14 * (smooth_noise(random, 40) - 0.5)
    for region in range(4):
        turn = np.pi * (region / 4 + 0.1)
        across = x * np.sin(turn) + y * np.cos(turn) + 260 * bend + wobble
        pitch = (17, 22, 15, 28)[region]
        line = 0.5 + 0.5 * np.cos(2 * np.pi * across / pitch)  # 1 in the middle of a line
        carved = np.clip((line - (1.08 - 1.05 * tone)) * 6 + 0.5, 0, 1)
        ink = np.where(regions == region, carved, ink)
    border = (regions != np.roll(regions, 7, 0)) | (regions != np.roll(regions, 7, 1))
    ink = np.maximum(ink, border)
    paper = np.array([238, 222, 186]) + 10 * (smooth_noise(random, 120) - 0.5)[..., None]
    red = np.clip((smooth_noise(random, 3) - 0.66) * 30, 0, 1)[..., None]
    blue = np.clip((smooth_noise(random, 3) - 0.70) * 30, 0, 1)[..., None]
    ground = paper + (np.array([196, 58, 40]) - paper) * red
    ground = ground + (np.array([60, 106, 130]) - ground) * blue
    black = np.array([26, 22, 24]) + 18 * (smooth_noise(random, 160) > 0.9)[..., None]
    picture = ground + (black - ground) * ink[..., None]
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def watercolour(random: np.random.Generator) -> Image.Image:
    """Washes of thin paint on rough paper, from broad to small, some crisp and some bled.

    What lies over each other multiplies, paint gathers along a crisp edge and in the paper's grain.
    """
    pigments = np.array(
        [
            (46, 92, 160),
            (84, 164, 196),
            (168, 120, 176),
            (222, 84, 92),
            (244, 190, 80),
            (130, 172, 92),
            (70, 92, 130),
            (236, 132, 76),
        ],
        float,
    )
    absorbs = -np.log(pigments / 255)
    grain = 0.6 * smooth_noise(random, 150) + 0.4 * smooth_noise(random, 320) - 0.5
    frayed = 0.03 * smooth_noise(random, 40) + 0.012 * smooth_noise(random, 130) - 0.021
    paint = np.zeros((*grain.shape, 3))
    wash = 0
    for cells, share, strength in (
        (3, 0.4, 0.3),
        (5, 0.24, 0.34),
        (9, 0.14, 0.38),
        (16, 0.05, 0.45),
    ):
        for _ in range(4):
            one, two = absorbs[3 * wash % 8], absorbs[(3 * wash + 1) % 8]
            wash += 1
            second = np.clip(3 * smooth_noise(random, 5) - 1, 0, 1)[..., None]
            inside = smooth_noise(random, cells) + frayed - (1 - share)  # above 0: in the wash
            bleeds = 0.003 + 0.08 * np.clip(smooth_noise(random, 4) - 0.45, 0, 1)
            covers = 1 / (1 + np.exp(-np.clip(inside / bleeds, -30, 30)))
            rim = np.exp(-np.clip(inside, 0, None) / (0.05 / cells + 0.004)) * (bleeds < 0.01)
            depth = 0.4 + 1.2 * smooth_noise(random, 2 * cells + 4) ** 1.5 + 0.9 * rim
            amount = strength * covers * depth * (1 + 0.4 * grain)
            paint += amount[..., None] * (one + (two - one) * second)
    paper = np.array([250, 246, 236]) - 14 * grain[..., None]
    return Image.fromarray(np.clip(paper * np.exp(-paint), 0, 255).astype(np.uint8))


if __name__ == "__main__":
    raise SystemExit(main())
