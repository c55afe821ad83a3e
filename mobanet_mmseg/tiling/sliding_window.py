"""The one engine of tiled prediction: a network slides over an image, strip by strip.

Only the strip in work is held, so that memory grows with the width of the strips and not with the
image's height; a wide image's strips may be those of column blocks.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mobanet_mmseg.tiling.symmetries import Network
from mobanet_mmseg.tiling.windows import Strip, Tiling, Window, by_block, spans

CHUNK_BYTES = 32_000_000  # of logits that are handed on at once


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
    """Pixels of a prediction that no later window changes.

    Args:
        window: Where they lie.
        logits: Mean logits (B, K, h, w), float32; overwritten once the next ones are asked for.
        valid: (h, w) bool, as it was read; None is everywhere.
    """

    window: Window
    logits: Tensor
    valid: Tensor | None


def slide(
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
        rows: What each strip is to ``read``, in their order.
        strips: The strips to run, of ``plan_strips`` or ``share_strips``.
        size: Height and width of the whole image, pixels.
        tiling: The tiling that the strips were made with.

    Yields:
        What each strip has ``done``, in one piece or some.
    """
    sides = zip(size, tiling.window, tiling.stride, strict=True)
    (rows_weight, rows_sum), (columns_weight, columns_sum) = (
        _weigh_side(*side, tiling.blend) for side in sides
    )
    weight = None if tiling.blend is None else torch.outer(rows_weight, columns_weight)
    rows = iter(rows)
    for block in by_block(strips):
        sums = rows_sum, columns_sum[block[0].touched.cols]
        yield from _slide_block(network, out_channels, rows, block, tiling, weight, sums)
    assert next(rows, None) is None


def _slide_block(
    network: Network,
    out_channels: int,
    rows: Iterator[Rows],
    strips: Sequence[Strip],
    tiling: Tiling,
    weight: Tensor | None,
    sums: tuple[Tensor, Tensor],
) -> Iterator[Predicted]:
    """Predict the strips of a column block; ``sums`` are the weights' sums of rows and columns."""
    width = strips[0].touched.width
    held = total = None
    for index, strip in enumerate(strips):
        top, left, height, _ = strip.touched
        held = _append(held, next(rows), height)
        if total is None:
            images, device = len(held.pixels), held.pixels.device
            most = max(each.touched.height for each in strips)
            total = torch.zeros((images, out_channels, most, width), device=device)
            rows_sum, columns_sum = (values.to(device) for values in sums)
            weight = None if weight is None else weight.to(device)
        _add_windows(network, held, strip, tiling.batch_size, weight, total)
        for done in _pieces(strip.done, total):
            here = done._replace(row=done.row - top, col=done.col - left)
            logits = _crop(total, here)
            logits.div_(torch.outer(rows_sum[done.rows], columns_sum[here.cols]))
            yield Predicted(done, logits, None if held.valid is None else _crop(held.valid, here))
        if index + 1 < len(strips):
            _move_up(total, strips[index + 1].touched.row - top, height)


def find_not_finite(logits: Tensor, valid: Tensor | None = None) -> Window | None:
    """Find logits that are NaN or infinite, which are no class.

    Args:
        logits: (K, h, w).
        valid: (h, w) bool in the host's memory, where they count; None is everywhere.

    Returns:
        The rectangle around them; None where all are finite.
    """
    spoilt = ~logits.isfinite().all(dim=0).cpu()
    if valid is not None:
        spoilt &= valid
    if not spoilt.any():
        return None
    rows, cols = (spoilt.any(dim=axis).nonzero().ravel().tolist() for axis in (1, 0))
    return Window(rows[0], cols[0], rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1)


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
    top, left = strip.touched[:2]
    windows = [w._replace(row=w.row - top, col=w.col - left) for w in strip.windows]
    if held.valid is not None:
        windows = [window for window in windows if _crop(held.valid, window).any()]
    count = math.ceil(len(windows) / batch_size)
    for index in range(count):  # of even sizes, so that none is left with one window
        first, end = (len(windows) * edge // count for edge in (index, index + 1))
        batch = windows[first:end]
        predicted = network(torch.cat([_crop(held.pixels, window) for window in batch]))
        for window, logits in zip(batch, predicted.chunk(len(batch)), strict=True):
            sums = _crop(total, window)
            if weight is None:
                sums.add_(logits)
            else:
                sums.addcmul_(logits.float(), weight)


def _crop(pixels: Tensor, window: Window) -> Tensor:
    return pixels[..., window.rows, window.cols]


def _pieces(done: Window, total: Tensor) -> Iterator[Window]:
    """Cut rows into pieces of bounded size."""
    step = max(1, CHUNK_BYTES // total[..., 0, :].nbytes)
    for row in range(done.row, done.bottom, step):
        yield done._replace(row=row, height=min(step, done.bottom - row))


def _move_up(total: Tensor, rows: int, height: int) -> None:
    """Drop the first rows of the sums, of which ``height`` rows are in use."""
    total[..., : height - rows, :] = total[..., rows:height, :].clone()
    total[..., height - rows :, :] = 0
