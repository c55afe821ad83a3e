"""Writes what is predicted of one raster: labels, probabilities and confidence, side by side."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.transform import Affine

from mobanet_mmseg.rasters.geotiff import check_labels, label_layer
from mobanet_mmseg.rasters.row_writer import Layer, RowWriter, open_geotiffs

NODATA = 255  # in every map
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
    layers = [label_layer(paths.labels, classes=classes, palette=palette, nodata=NODATA)]
    for path, bands in ((paths.probabilities, tuple(classes)), (paths.confidence, ('confidence',))):
        if path is not None:
            layers.append(Layer(path, bands, NODATA, scale=1 / PROBABILITY_1))
    place = {'crs': crs, 'transform': transform, 'cog': paths.cog}
    with open_geotiffs(layers, shape, **place) as writers:
        files = {writer.layer.path: writer for writer in writers}
        yield MapWriter(
            files[paths.labels],
            files.get(paths.probabilities),
            files.get(paths.confidence),
            len(classes),
        )


class MapWriter:
    """Takes the rows of all maps; see :func:`open_maps`.

    Args:
        labels: Writes the label map.
        probabilities: Writes the probabilities, if they are wanted.
        confidence: Writes the confidence, if it is wanted.
        num_classes: Number of classes K.
    """

    def __init__(
        self,
        labels: RowWriter,
        probabilities: RowWriter | None,
        confidence: RowWriter | None,
        num_classes: int,
    ) -> None:
        self._labels = labels
        self._probabilities = probabilities
        self._confidence = confidence
        self._num_classes = num_classes

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
                :meth:`RowWriter.write`.

        Raises:
            OSError: If they cannot be written.
            ValueError: If they do not fit each other or the maps.
        """
        path = self._labels.layer.path
        check_labels(path, labels, self._num_classes, NODATA)
        self._labels.write(labels[None], column)
        for name, writer, given in (
            ('probabilities', self._probabilities, probabilities),
            ('confidence', self._confidence, None if confidence is None else confidence[None]),
        ):
            if (writer is None) != (given is None):
                raise ValueError(
                    f'The {name} beside {path} are {"not " if writer is None else ""}written, but '
                    f'{"some" if writer is None else "none"} are given: give what was opened.'
                )
            if writer is None:
                continue
            if given.shape[-2:] != labels.shape:
                raise ValueError(
                    f'{writer.layer.path} is to get rows of shape {given.shape} beside labels of '
                    f'{labels.shape}: give the same rows and columns of each.'
                )
            writer.write(given, column)
