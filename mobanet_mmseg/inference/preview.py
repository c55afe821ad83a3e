"""Reads a reduced copy of a raster and of its prediction, for a picture of any raster's size."""

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from mobanet_mmseg.inference.predict import Source
from mobanet_mmseg.inference.trained import read_truth
from mobanet_mmseg.rasters.windows import read_window

LONGER_SIDE = 2400  # pixels of the reduced copy: twice a panel's, which is then drawn by area
ROWS_AT_ONCE = 256


def read_preview(
    source: Source, labels: Path, config: Config, truth: str | Path | None, num_optical: int
) -> dict[str, Any]:
    """Take each n-th row and column of what the model saw and of what it made of it.

    Args:
        source: The stacked sample.
        labels: Its label map.
        config: The model's config, whose test dataset reads the truth.
        truth: Label raster, if there is one.
        num_optical: Optical channels of the stacked sample.

    Returns:
        ``rgb``, ``aux``, ``prediction`` and ``truth`` of ``render_panels``.
    """
    info = source.info
    step = -(-max(info.height, info.width) // LONGER_SIDE)
    rows_at_once = max(1, ROWS_AT_ONCE // step) * step  # so that each piece starts on an n-th row
    pixels, predicted, true = [], [], []
    for first in range(0, info.height, rows_at_once):
        last = min(first + rows_at_once, info.height)
        window = (first, 0, last - first, info.width)
        rows, _ = source.read_rows(first, last)
        pixels.append(rows[:, ::step, ::step].transpose(1, 2, 0))
        predicted.append(read_window(labels, (1,), window)[::step, ::step, 0])
        if truth is not None:
            true.append(read_truth(config, info.path, truth, window)[::step, ::step])
    stack = np.concatenate(pixels)
    return {
        'rgb': stack[..., :num_optical],
        'aux': stack[..., num_optical:],
        'prediction': np.concatenate(predicted),
        'truth': np.concatenate(true) if true else None,
    }
