"""Where the gates of a trained model look: class by class on labelled tiles, and over each tile."""

import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.evaluation.gate_sums import GateSums
from mobanet_mmseg.experiments.tables import Table
from mobanet_mmseg.experiments.tiles import TilePaths, check_places
from mobanet_mmseg.inference.gates import GateRows, find_gates, gate_rows
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.inference.trained import aux_kind, open_truth
from mobanet_mmseg.models.gates import GateWatch
from mobanet_mmseg.rasters.geotiff import GeoTiff, Layer, open_geotiffs
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.visualization.gates import draw_gate_table, render_gates
from mobanet_mmseg.visualization.pictures import save_picture
from mobanet_mmseg.visualization.thumbnails import Thumbnail
from mobanet_mmseg.writing import to_csv, write_text

FULL_BYTE = 254  # the byte of a weight of 1
TITLES = {
    'weight': 'Weight of aux, 1 - G (%)',
    'share': 'Share of aux in the fused features (%)',
}


@dataclass(frozen=True)
class GateReport:
    """Where the gates look on a labelled set.

    Args:
        classes: Name of each class.
        tiles: What was summed on each tile, by its name.
    """

    classes: tuple[str, ...]
    tiles: dict[str, GateSums]

    @property
    def whole(self) -> GateSums:
        """The sums of all tiles."""
        first, *others = self.tiles.values()
        return sum(others, first)

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows of means."""
        return (*self.classes, 'all')

    def table(self, kind: str) -> Table:
        """Lay out the means of all tiles.

        Args:
            kind: ``'weight'`` or ``'share'``.
        """
        whole = self.whole
        means = 100 * whole.means(kind)
        pixels = [*whole.pixels, whole.pixels.sum()]
        stages = (f'stage {stage}' for stage in range(1, means.shape[1] + 1))
        rows = [
            (name, *(_cell(value) for value in (*values, values.mean())), f'{count:,}')
            for name, values, count in zip(self.rows, means, pixels, strict=True)
        ]
        return Table(TITLES[kind], ('class', *stages, 'mean', 'pixels'), rows)

    def markdown(self) -> str:
        """Write it for people, with the finding in a sentence."""
        tables = '\n'.join(self.table(kind).markdown() for kind in TITLES)
        return (
            f'# Where the gates look\n\n{self.finding()}\n\n{tables}\n'
            'The weight is what the gate asks for, the mean of 1 - G over the channels: 50 is both '
            "streams alike. The share is what it gets: the part of the fused features' magnitude, "
            'the sum of |(1 - G) A| over that and the sum of |G R|. Means over the labelled pixels.'
            '\n'
        )

    def finding(self) -> str:
        """Say which class takes most from the auxiliary image, and which least."""
        means = 100 * self.whole.means('weight')[:-1].mean(axis=1)
        known = [index for index, value in enumerate(means) if not math.isnan(value)]
        if not known:
            return 'No pixel has a label.'
        order = sorted(known, key=lambda index: -means[index])
        named = ', '.join(f'{self.classes[index]} {means[index]:.1f}' for index in order)
        return (
            f'Weight of aux in per cent, mean of the stages, from the most to the least: {named}.'
        )

    def records(self) -> list[dict[str, Any]]:
        """Give all means as records: one a tile and class, then those of all tiles."""
        found = []
        for tile, sums in [*self.tiles.items(), ('all', self.whole)]:
            weight, share = (100 * sums.means(kind) for kind in TITLES)
            pixels = [*sums.pixels, sums.pixels.sum()]
            for row, name in enumerate(self.rows):
                record = {'tile': tile, 'class': name, 'pixels': int(pixels[row])}
                for kind, means in (('weight', weight), ('share', share)):
                    record |= {f'aux_{kind}_{s}': float(v) for s, v in enumerate(means[row], 1)}
                found.append(record)
        return found

    def picture(self) -> np.ndarray:
        """Draw both tables, (h, w, 3) uint8."""
        panels = {TITLES[kind]: self.whole.means(kind) for kind in TITLES}
        title = 'What the gates take from the auxiliary image; orange: more than half, violet: less'
        return draw_gate_table(panels, self.rows, title)


FILES = ('gates.md', 'gates.csv', 'gates.json', 'gates.png')


def watch_tiles(
    inferencer: MultimodalInferencer,
    tiles: Sequence[TilePaths],
    out: Path,
    geotiff: bool = False,
) -> GateReport | None:
    """Watch the gates of a model on tiles, and draw each of them.

    Args:
        inferencer: The model.
        tiles: On which it runs.
        out: Folder of all that is written: ``NAME_gates.png`` of each tile, and of labelled ones
            ``gates.md``, ``.csv``, ``.json`` and ``.png``.
        geotiff: Write ``NAME_gates.tif`` too: the weight of aux, a band a stage, in steps of 1/254
            on the optical raster's grid.

    Returns:
        The report of the labelled tiles; None if none has labels.

    Raises:
        OSError: If a file is missing or cannot be written.
        ValueError: If the model has no gates, the rasters do not fit, or they lie in ``out``.
    """
    check_places(tiles, inferencer.files, out)
    watch = find_gates(inferencer)
    sums = {}
    for tile in tiles:
        found = _watch_tile(inferencer, watch, tile, out, geotiff)
        if found is not None:
            sums[tile.name] = found
    if not sums:
        return None
    report = GateReport(inferencer.classes.names, sums)
    records = report.records()
    write_text(out / FILES[0], report.markdown())
    write_text(out / FILES[1], to_csv(records))
    finite = [{k: None if v != v else v for k, v in record.items()} for record in records]
    write_text(out / FILES[2], json.dumps(finite, indent=1) + '\n')
    save_picture(out / FILES[3], report.picture())
    return report


def _watch_tile(
    inferencer: MultimodalInferencer, watch: GateWatch, tile: TilePaths, out: Path, geotiff: bool
) -> GateSums | None:
    """Watch one tile, draw it, and sum it up if it has labels."""
    stages, config = len(watch.stages), inferencer.model.cfg
    with ExitStack() as stack:
        source = stack.enter_context(inferencer.open_pair(tile.rgb, tile.aux))
        size = source.info.height, source.info.width
        read_truth = None if tile.label is None else open_truth(config, tile.rgb, tile.label)
        sums = GateSums.of_nothing(len(inferencer.classes), stages)
        images, drawn = Thumbnail(*size, source.num_channels), Thumbnail(*size, stages)
        labels = Thumbnail(*size, 1, empty=IGNORE_INDEX)
        file = None
        if geotiff:
            bands = tuple(f'weight of aux, stage {stage}' for stage in range(1, stages + 1))
            layer = Layer(out / f'{tile.name}_gates.tif', bands, scale=1 / FULL_BYTE)
            (file,) = stack.enter_context(open_geotiffs([layer], source.info))

        def see(window: Window, pixels: np.ndarray, valid: np.ndarray) -> None:
            images.put(window, np.where(valid, pixels, np.nan))

        for rows in gate_rows(inferencer, watch, source, see):
            drawn.put(rows.window, np.where(rows.valid, rows.weight, np.nan))
            if read_truth is not None:
                truth = read_truth(rows.window)
                sums.add(truth, rows.valid, rows.weight, rows.share)
                labels.put(rows.window, truth[None])
            if file is not None:
                _write(file, rows)
    _draw(inferencer, images, drawn, labels if read_truth else None, out / f'{tile.name}_gates.png')
    return None if read_truth is None else sums


def _write(file: GeoTiff, rows: GateRows) -> None:
    values = (rows.weight * FULL_BYTE).round().clip(0, FULL_BYTE).astype(np.uint8)
    values[:, ~rows.valid] = IGNORE_INDEX
    file.write(values, rows.window.col)


def _draw(
    inferencer: MultimodalInferencer,
    images: Thumbnail,
    drawn: Thumbnail,
    labels: Thumbnail | None,
    path: Path,
) -> None:
    optical = len(inferencer.spec.img_bands)
    stack = images.pixels.transpose(1, 2, 0)
    picture = render_gates(
        rgb=stack[..., :optical],
        aux=stack[..., optical:],
        weight=drawn.pixels,
        aux_kind=aux_kind(inferencer.model.cfg),
        truth=None if labels is None else labels.pixels[0].astype(np.int32),
        classes=inferencer.classes,
    )
    save_picture(path, picture)


def _cell(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.1f}'
