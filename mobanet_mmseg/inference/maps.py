"""The maps of one raster: labels, probabilities and confidence, written side by side."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mobanet_mmseg.classes import IGNORE_INDEX, Classes
from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.rasters.geotiff import Layer, open_geotiffs
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.writing import check_outputs

NODATA = IGNORE_INDEX  # in every map
PROBABILITY_1 = 254  # the byte of a probability of 1


class Maps(NamedTuple):
    """What is written of some pixels of a raster.

    Args:
        window: Where they lie.
        labels: Class indices (h, w) uint8, 255 where there is no optical data.
        probabilities: (K, h, w) uint8, ``round(254 * p)``, 255 where there is no optical data.
        confidence: (h, w) uint8, the probability of the label, likewise.
    """

    window: Window
    labels: np.ndarray
    probabilities: np.ndarray | None = None
    confidence: np.ndarray | None = None


@dataclass(frozen=True)
class MapPaths:
    """Where the maps of one raster are written.

    Args:
        labels: Label map.
        probabilities: Probability of each class, one band per class; None is not to write them.
        confidence: Confidence of the label; None is not to write it.
        cog: Whether to write cloud-optimised GeoTIFFs, with overviews.
    """

    labels: Path
    probabilities: Path | None = None
    confidence: Path | None = None
    cog: bool = False

    @property
    def files(self) -> list[Path]:
        """Those that are written, the labels first."""
        every = self.labels, self.probabilities, self.confidence
        return [path for path in every if path is not None]

    @property
    def wanted(self) -> dict[str, bool]:
        """Which maps there are beside the labels."""
        return {
            'probabilities': self.probabilities is not None,
            'confidence': self.confidence is not None,
        }


def map_paths(
    out: str | Path,
    inputs: Sequence[str | Path | None] = (),
    *,
    probabilities: bool = False,
    confidence: bool = False,
    cog: bool = False,
) -> MapPaths:
    """Name the maps of one raster after its label map.

    Args:
        out: The label map.
        inputs: The rasters and other files that are read, which no map may replace.
        probabilities: Whether there are probabilities, in ``*_probabilities.tif``.
        confidence: Whether there is confidence, in ``*_confidence.tif``.
        cog: Whether they are Cloud Optimized GeoTIFFs.

    Raises:
        ValueError: If a map would replace an input, or a source of one.
    """
    out = Path(out)
    paths = MapPaths(
        labels=out,
        probabilities=out.with_name(f'{out.stem}_probabilities.tif') if probabilities else None,
        confidence=out.with_name(f'{out.stem}_confidence.tif') if confidence else None,
        cog=cog,
    )
    check_outputs(paths.files, files_behind(*inputs))
    return paths


def write_maps(
    rows: Iterator[Maps], paths: MapPaths, info: RasterInfo, classes: Classes
) -> Iterator[Maps]:
    """Write maps as they come, in a thread of their own; see :func:`open_geotiffs`.

    Probabilities and confidence are bytes, ``round(254 * p)``, with the scale 1/254 in the file;
    255 is nodata in all maps.

    Args:
        rows: The maps of a raster's rows, from the top, column block after column block.
        paths: What to write, and where; tried before the first rows are asked for.
        info: Size and place of what is written.
        classes: The classes of the labels.

    Yields:
        What ``rows`` gives, as it is written; after the last of it, the files have their names.

    Raises:
        OSError: If a file cannot be written.
    """
    layers = [Layer(paths.labels, classes=classes)]
    for path, bands in ((paths.probabilities, classes.names), (paths.confidence, ('confidence',))):
        if path is not None:
            layers.append(Layer(path, bands, scale=1 / PROBABILITY_1))
    with open_geotiffs(layers, info, cog=paths.cog) as files:

        def write(maps: Maps) -> None:
            given = [values for values in maps[1:] if values is not None]
            for file, values in zip(files, given, strict=True):
                file.write(values if values.ndim == 3 else values[None], maps.window.col)

        with behind(write) as write_behind, closing(rows):
            for maps in rows:
                write_behind(maps)
                yield maps


def count_labels(rows: Iterator[Maps]) -> np.ndarray:
    """Go through the maps of a raster and count its labels.

    Args:
        rows: What :func:`write_maps` gives.

    Returns:
        (256,) number of pixels of each label; the last is nodata's.
    """
    counts = np.zeros(256, np.int64)
    for maps in rows:
        counts += np.bincount(maps.labels.ravel(), minlength=256)
    return counts


@contextmanager
def behind(function: Callable[..., None]) -> Iterator[Callable[..., None]]:
    """Run a function's calls in another thread, in their order, one at most waiting.

    Args:
        function: Called in always the same thread; its errors come out at a later call, or at the
            end of the block.

    Yields:
        What to call instead.
    """
    running: list[Future] = []

    def call(*args: Any) -> None:
        if running:
            running.pop().result()
        running.append(thread.submit(function, *args))

    with ThreadPoolExecutor(1, 'writing') as thread:
        yield call
        if running:
            running.pop().result()
