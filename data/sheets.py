"""Several pictures as one, in rows, with titles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from data.pixels import Pixels

TITLE_PX = 22


def picture_sheet(
    rows: Sequence[Sequence[Pixels]],
    titles: Sequence[Sequence[str]] = (),
    cell_px: int = 256,
    gap_px: int = 6,
) -> Pixels:
    """Return pictures side by side as one, each fitted into a square of `cell_px`.

    `titles` holds those of each row's pictures, for as many rows as have some; they stand above.
    """
    cells = [
        [
            ImageOps.contain(Image.fromarray(picture), (cell_px,) * 2, Image.Resampling.LANCZOS)
            for picture in row
        ]
        for row in rows
    ]
    width = max(cell.width for row in cells for cell in row)
    columns = max(len(row) for row in cells)
    heights = [max(cell.height for cell in row) for row in cells]
    sheet_height = sum(heights) + len(rows) * gap_px + len(titles) * TITLE_PX + gap_px
    sheet = Image.new("RGB", (columns * (width + gap_px) + gap_px, sheet_height), "white")
    draw = ImageDraw.Draw(sheet)
    top = gap_px
    for y, (row, height) in enumerate(zip(cells, heights, strict=True)):
        for x, title in enumerate(titles[y] if y < len(titles) else ()):
            middle = gap_px + x * (width + gap_px) + width / 2, top + TITLE_PX / 2 - 2
            draw.text(middle, title, "black", anchor="mm", font_size=14)
        top += TITLE_PX if y < len(titles) else 0
        for x, cell in enumerate(row):
            left = gap_px + x * (width + gap_px) + (width - cell.width) // 2
            sheet.paste(cell, (left, top + (height - cell.height) // 2))
        top += height + gap_px
    return np.asarray(sheet)
