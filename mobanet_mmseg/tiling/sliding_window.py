"""The one engine of tiled prediction: a network slides over an image, strip by strip.

Only the strip in work is held, so that memory grows with the width of the strips and not with the
image's height; a wide image's strips may be cut into bands of columns.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from mobanet_mmseg.tiling.windows import Box, Strip, Tiling, spans

CHUNK_BYTES = 32_000_000  # of logits that are handed on at once

Network = Callable[[Tensor], Tensor]


class Rows(NamedTuple):
    """Rows of an image, over the columns of a strip.

    Args:
        pixels: (B, C, n, W).
        valid: (n, W) bool in the host's memory: where there is something to predict. None is
            everywhere.
    """

    pixels: Tensor
    valid: Tensor | None = None


class Predicted(NamedTuple):
    """Rows of a prediction that no later window changes.

    Args:
        row: Number of the first of them.
        logits: Mean logits (B, K, n, W), float32; overwritten once the next rows are asked for.
        valid: (n, W) bool, as it was read; None is everywhere.
        column: Number of the first column.
    """

    row: int
    logits: Tensor
    valid: Tensor | None
    column: int = 0


def sweep(
    network: Network,
    out_channels: int,
    rows: Iterable[Rows],
    strips: Sequence[Strip],
    size: tuple[int, int],
    tiling: Tiling,
) -> Iterator[Predicted]:
    """Predict an image window by window and average the logits where windows overlap.

    A window without a valid pixel is not run. A batch never reaches from one strip into the next:
    a strip's logits do not depend on which other strips are run. Logits are added in float32,
    whatever type the network (or autocast) gives them.

    Args:
        network: Gives the logits (N, K, h, w) of windows (N, C, h, w).
        out_channels: Channels K of the logits.
        rows: The ``read`` rows of each strip over its ``columns``, in their order.
        strips: The strips to run, of ``plan_strips`` or ``share_strips``.
        size: Height and width of the whole image, pixels.
        tiling: The tiling that the strips were made with.

    Yields:
        The ``done`` rows of each strip over its ``done_columns``, in one piece or some.
    """
    sides = zip(size, tiling.window, tiling.stride, strict=True)
    (rows_weight, rows_sum), (columns_weight, columns_sum) = (
        _weigh_side(*side, tiling.blend) for side in sides
    )
    weight = None if tiling.blend is None else torch.outer(rows_weight, columns_weight)
    rows = iter(rows)
    for _, band in groupby(strips, key=lambda strip: strip.done_columns):
        band = list(band)
        left, right = band[0].columns
        sums = rows_sum, columns_sum[left:right]
        yield from _sweep_band(network, out_channels, rows, band, tiling, weight, sums)
    assert next(rows, None) is None


def _sweep_band(
    network: Network,
    out_channels: int,
    rows: Iterator[Rows],
    strips: Sequence[Strip],
    tiling: Tiling,
    weight: Tensor | None,
    sums: tuple[Tensor, Tensor],
) -> Iterator[Predicted]:
    """Predict strips of the same columns; ``sums`` are the weights' sums of rows and columns."""
    left, right = strips[0].columns
    done_left, done_right = strips[0].done_columns
    held = total = None
    for index, strip in enumerate(strips):
        top, bottom = strip.rows
        held = _append(held, next(rows), bottom - top)
        if total is None:
            images, device = len(held.pixels), held.pixels.device
            height = max(end - first for first, end in (each.rows for each in strips))
            total = torch.zeros((images, out_channels, height, right - left), device=device)
            rows_sum, columns_sum = (values.to(device) for values in sums)
            weight = None if weight is None else weight.to(device)
        _add_windows(network, held, strip, tiling.batch_size, weight, total)
        own = slice(done_left - left, done_right - left)
        for first, end in _pieces(strip.done, total):
            logits = total[..., first - top : end - top, own]
            logits.div_(torch.outer(rows_sum[first:end], columns_sum[own]))
            valid = None if held.valid is None else held.valid[first - top : end - top, own]
            yield Predicted(first, logits, valid, done_left)
        if index + 1 < len(strips):
            _move_up(total, strips[index + 1].rows[0] - top, bottom - top)


def blend_weights(length: int, blend: str | None) -> Tensor:
    """Weigh the pixels along one side of a window; all weights are above 0.

    Args:
        length: Side of the window, pixels.
        blend: None weighs all alike; ``'gaussian'`` by a normal distribution around the middle
            whose standard deviation is an eighth of the side (nnU-Net's); ``'cosine'`` by a Hann
            window.

    Returns:
        (length,) float64.

    Source: Isensee et al., nnU-Net, Nature Methods 18 (2021), for the Gaussian.
    """
    if blend is None:
        return torch.ones(length, dtype=torch.float64)
    middle = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    if blend == 'gaussian':
        return torch.exp(-0.5 * ((middle - 0.5) * 8) ** 2)
    return torch.sin(math.pi * middle) ** 2


def _weigh_side(length: int, window: int, stride: int, blend: str | None) -> tuple[Tensor, Tensor]:
    """Weights of a window along one side, and their sum at each pixel of the image's side."""
    weights = blend_weights(min(window, length), blend)
    coverage = torch.zeros(length, dtype=torch.float64)
    for first, end in spans(length, window, stride):
        coverage[first:end] += weights
    return weights.float(), coverage.float()


def _append(held: Rows | None, new: Rows, height: int) -> Rows:
    """The last ``height`` rows of what is held, if anything is, and what is new."""
    if held is None:
        return new
    kept = height - new.pixels.shape[-2]
    first = held.pixels.shape[-2] - kept
    pixels = torch.cat([held.pixels[..., first:, :], new.pixels], dim=-2)
    if new.valid is None:
        return Rows(pixels)
    return Rows(pixels, torch.cat([held.valid[first:], new.valid]))


def _add_windows(
    network: Network,
    held: Rows,
    strip: Strip,
    batch_size: int,
    weight: Tensor | None,
    total: Tensor,
) -> None:
    """Run a strip's windows and add their logits; ``held`` and ``total`` begin at its corner."""
    top, left = strip.windows[0][:2]
    boxes = [(y1 - top, x1 - left, y2 - top, x2 - left) for y1, x1, y2, x2 in strip.windows]
    if held.valid is not None:
        boxes = [box for box in boxes if _crop(held.valid, box).any()]
    count = math.ceil(len(boxes) / batch_size)
    for index in range(count):  # of even sizes, so that none is left with one window
        first, end = (len(boxes) * edge // count for edge in (index, index + 1))
        batch = boxes[first:end]
        predicted = network(torch.cat([_crop(held.pixels, box) for box in batch]))
        for box, logits in zip(batch, predicted.chunk(len(batch)), strict=True):
            sums = _crop(total, box)
            if weight is None:
                sums.add_(logits)
            else:
                sums.addcmul_(logits.float(), weight)


def _crop(pixels: Tensor, box: Box) -> Tensor:
    y1, x1, y2, x2 = box
    return pixels[..., y1:y2, x1:x2]


def _pieces(done: tuple[int, int], total: Tensor) -> Iterator[tuple[int, int]]:
    """Cut rows into pieces of bounded size."""
    step = max(1, CHUNK_BYTES // total[..., 0, :].nbytes)
    for first in range(*done, step):
        yield first, min(first + step, done[1])


def _move_up(total: Tensor, rows: int, height: int) -> None:
    """Drop the first rows of the sums, of which ``height`` rows are in use."""
    total[..., : height - rows, :] = total[..., rows:height, :].clone()
    total[..., height - rows :, :] = 0
