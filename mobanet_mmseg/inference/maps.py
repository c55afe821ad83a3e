"""Writes what is predicted of one raster: labels, probabilities and confidence, side by side."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.transform import Affine

from mobanet_mmseg.classes import IGNORE_INDEX, Classes
from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.rasters.geotiff import GeoTiff, Layer, open_geotiffs

NODATA = IGNORE_INDEX  # in every map
PROBABILITY_1 = 254  # the byte of a probability of 1


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
    def wanted(self) -> dict[str, bool]:
        """Which maps there are beside the labels."""
        return {
            'probabilities': self.probabilities is not None,
            'confidence': self.confidence is not None,
        }


@contextmanager
def open_maps(
    paths: MapPaths,
    shape: tuple[int, int],
    *,
    crs: CRS | None,
    transform: Affine,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> Iterator['MapWriter']:
    """Open the maps of one raster, which are written from the top down.

    All appear together, once they are complete and read back; on any error nothing of them stays
    and older files are as they were. Probabilities and confidence are bytes, ``round(254 * p)``,
    with the scale 1/254 in the file; 255 is nodata in all maps.

    Args:
        paths: Which maps to write, and where.
        shape: Height and width of the raster, pixels.
        crs: Coordinate reference system, if there is one.
        transform: From pixel to CRS coordinates; any, south-up and rotated ones too.
        classes: Name of each class.
        palette: Red, green and blue of each class, 0 to 255.

    Yields:
        What takes the rows.

    Raises:
        OSError: If a file cannot be written.
        ValueError: If two maps have one name, the palette does not fit the classes, or rows are
            missing at the end.
    """
    given = [path for path in (paths.labels, paths.probabilities, paths.confidence) if path]
    if len({path.resolve() for path in given}) < len(given):
        raise ValueError(
            f'Two maps would both be written to one of {", ".join(map(str, given))}: give each '
            'its own name.'
        )
    layers = [Layer(paths.labels, classes=Classes(classes, palette))]
    for path, bands in ((paths.probabilities, tuple(classes)), (paths.confidence, ('confidence',))):
        if path is not None:
            layers.append(Layer(path, bands, scale=1 / PROBABILITY_1))
    grid = RasterInfo(str(paths.labels), *shape, 1, ('uint8',), crs, transform, (NODATA,))
    with open_geotiffs(layers, grid, cog=paths.cog) as writers:
        files = {writer.layer.path: writer for writer in writers}
        yield MapWriter(
            files[paths.labels],
            files.get(paths.probabilities),
            files.get(paths.confidence),
        )


class MapWriter:
    """Takes the rows of all maps; see :func:`open_maps`.

    Args:
        labels: Writes the label map.
        probabilities: Writes the probabilities, if they are wanted.
        confidence: Writes the confidence, if it is wanted.
    """

    def __init__(
        self,
        labels: GeoTiff,
        probabilities: GeoTiff | None,
        confidence: GeoTiff | None,
    ) -> None:
        self._labels = labels
        self._probabilities = probabilities
        self._confidence = confidence

    def write(
        self,
        labels: np.ndarray,
        probabilities: np.ndarray | None = None,
        confidence: np.ndarray | None = None,
        column: int = 0,
    ) -> None:
        """Write the next rows of every map.

        Args:
            labels: Class indices (n, W) uint8, 255 for nodata; any n.
            probabilities: (K, n, W) uint8, if their map is open.
            confidence: (n, W) uint8, if its map is open.
            column: Number of their first column, where W is a band's width; see
                :meth:`GeoTiff.write`.

        Raises:
            OSError: If they cannot be written.
            ValueError: If the labels hold an index that is no class.
        """
        self._labels.write(labels[None], column)
        for writer, given in (
            (self._probabilities, probabilities),
            (self._confidence, None if confidence is None else confidence[None]),
        ):
            assert (writer is None) == (given is None), 'what was opened is what is written'
            if writer is not None:
                assert given.shape[-2:] == labels.shape, (given.shape, labels.shape)
                writer.write(given, column)
