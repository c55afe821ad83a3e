"""Predicts rasters of any size: reading, network and writing put together, strip by strip."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from mmseg.models import EncoderDecoder

from mobanet_mmseg.inference.maps import MapPaths, open_maps
from mobanet_mmseg.inference.network import Maps, read_maps, window_network
from mobanet_mmseg.inference.overlap import ahead, behind
from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.tiling.sliding_window import Rows, slide
from mobanet_mmseg.tiling.windows import Strip, Tiling, plan_strips

# Of the strip in work, which a wide raster's bands are cut for; with 6 classes, 4 channels and
# windows of 256 pixels that is 6138 columns: a tile of Potsdam is one band.
BAND_BYTES = 88_000_000
BAND_WINDOWS = 16  # a band is at least so many windows wide: few are run in two bands

# rows done since the last call, fractions of them where a raster is cut into bands; rows in all
Advance = Callable[[float, int], None]


class Source(Protocol):
    """A stacked sample that is read row by row; ``PairReader`` is one.

    Args:
        info: Grid of the optical image.
        num_channels: Channels C of the stacked sample.
    """

    info: RasterInfo
    num_channels: int

    def read_rows(
        self, first: int, last: int, columns: tuple[int, int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read (C, n, W) float32 pixels, not normalised, and (n, W) bool, where there is data."""


@dataclass(frozen=True)
class Settings:
    """How rasters are predicted.

    Args:
        tiling: Windows, strides, batch size and blending.
        amp: Type of autocast, ``torch.bfloat16`` or ``torch.float16``; None is full precision.
    """

    tiling: Tiling
    amp: torch.dtype | None = None


def plan_raster(model: EncoderDecoder, source: Source, settings: Settings) -> list[Strip]:
    """Cover a source with strips, in bands where it is so wide that memory would grow with it.

    Args:
        model: A segmentor.
        source: What to predict.
        settings: How to.
    """
    height, width = settings.tiling.window
    # float32 sums of a column, and its pixels beside those that replace them
    column_bytes = 4 * height * (model.out_channels + 2 * source.num_channels)
    max_width = max(BAND_BYTES // column_bytes, BAND_WINDOWS * width)
    return plan_strips(source.info.height, source.info.width, settings.tiling, max_width)


@torch.inference_mode()
def predict_rows(
    model: EncoderDecoder,
    source: Source,
    settings: Settings,
    strips: Sequence[Strip],
    *,
    probabilities: bool = False,
    confidence: bool = False,
) -> Iterator[Maps]:
    """Predict the rows for which some strips answer, from the top, band after band.

    Reading runs ahead in a thread of its own.

    Args:
        model: A segmentor in eval mode.
        source: What to predict.
        settings: How to.
        strips: All strips of the source, or one process's share.
        probabilities: Whether to give them.
        confidence: Whether to give it.

    Yields:
        The maps of the next rows, one at least.

    Raises:
        ValueError: If a raster is damaged, or its bands do not fit the model.
    """
    device = next(model.parameters()).device
    network = window_network(model, settings.amp)
    size = (source.info.height, source.info.width)

    def read() -> Iterator[Rows]:
        for strip in strips:
            window = strip.read
            columns = window.col, window.right
            pixels, valid = source.read_rows(window.row, window.bottom, columns)
            yield Rows(torch.from_numpy(pixels)[None].to(device), torch.from_numpy(valid))

    wanted = {'probabilities': probabilities, 'confidence': confidence}
    with closing(ahead(read())) as rows:
        for done in slide(network, model.out_channels, rows, strips, size, settings.tiling):
            maps = read_maps(model, done.logits[0], done.valid, **wanted)
            maps = maps._replace(row=done.window.row, column=done.window.col)
            del done  # the sums of a band are not kept while the next one's are made
            yield maps


def predict_raster(
    model: EncoderDecoder,
    source: Source,
    paths: MapPaths,
    settings: Settings,
    advance: Advance = lambda rows, total: None,
) -> np.ndarray:
    """Predict a raster into files, of which only the strip in work is held.

    Args:
        model: A segmentor in eval mode, with ``dataset_meta``.
        source: What to predict.
        paths: What to write, and where; tried before anything is predicted.
        settings: How to.
        advance: Told how many rows have been predicted since its last call, and how many there are.

    Returns:
        (256,) number of pixels of each label; the last is nodata's.

    Raises:
        OSError: If a file cannot be written.
        ValueError: If a raster is damaged, or its bands do not fit the model.
    """
    strips = plan_raster(model, source, settings)
    rows = predict_rows(model, source, settings, strips, **paths.wanted)
    return write_rows(rows, paths, source.info, model.dataset_meta, advance)


def write_rows(
    rows: Iterator[Maps],
    paths: MapPaths,
    info: RasterInfo,
    legend: dict,
    advance: Advance = lambda rows, total: None,
) -> np.ndarray:
    """Write maps as they come, in a thread of their own.

    Args:
        rows: The maps of a raster's rows, from the top, band after band.
        paths: What to write, and where.
        info: Size and place of what is written.
        legend: ``classes`` and ``palette``.
        advance: Told how many rows have come since its last call, and how many there are.

    Returns:
        (256,) number of pixels of each label; the last is nodata's.

    Raises:
        OSError: If a file cannot be written.
    """
    counts = np.zeros(256, np.int64)
    place = {'crs': info.crs, 'transform': info.transform}
    colours = {'classes': legend['classes'], 'palette': legend['palette']}
    with (
        open_maps(paths, (info.height, info.width), **place, **colours) as writer,
        behind(writer.write) as write,
        closing(rows),
    ):
        for maps in rows:
            write(maps.labels, maps.probabilities, maps.confidence, maps.column)
            counts += np.bincount(maps.labels.ravel(), minlength=256)
            advance(maps.labels.size / info.width, info.height)
    return counts
