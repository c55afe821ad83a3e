"""Response maps of a class, of one or several checkpoints side by side."""

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobanet_mmseg.experiments.tables import Table
from mobanet_mmseg.experiments.tiles import TilePaths
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.inference.responses import Region, Response, find_class, respond
from mobanet_mmseg.inference.trained import aux_kind, open_truth
from mobanet_mmseg.models.mobanet import STREAMS
from mobanet_mmseg.models.responses import BRANCHES
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.visualization.responses import ResponseRow, Scene, draw_responses


@dataclass(frozen=True)
class Trained:
    """A checkpoint whose responses are drawn.

    Args:
        name: What the picture calls it.
        config: Config file.
        checkpoint: Checkpoint file.
    """

    name: str
    config: Path
    checkpoint: Path


@dataclass(frozen=True)
class ResponseReport:
    """What is drawn, and how much of it lies on the class.

    Args:
        title: What it is of.
        picture: (h, w, 3) uint8.
        responses: By the name of the checkpoint.
    """

    title: str
    picture: np.ndarray
    responses: dict[str, Response]

    def table(self) -> Table:
        """Lay out how much of each branch's response is on the class, and what each stream has."""
        rows = [
            (
                name,
                *(_percent(found.within[branch]) for branch in BRANCHES),
                *(_percent(found.of_both[branch]) for branch in STREAMS),
            )
            for name, found in self.responses.items()
        ]
        first = next(iter(self.responses.values()))
        covered = f'the class covers {_percent(first.of_class)} % of the labelled pixels'
        title = f'{self.title}: response that lies on the class (%); {covered}'
        streams = (f'{stream} of both streams' for stream in STREAMS)
        return Table(title, ('checkpoint', *BRANCHES, *streams), rows)


def report_responses(
    trained: Sequence[Trained],
    tile: TilePaths,
    name: str,
    *,
    region: Sequence[int] | None = None,
    stage: int | None = None,
    device: str = 'auto',
    cfg_options: dict[str, Any] | None = None,
) -> ResponseReport:
    """Compute and draw response maps, one checkpoint after the other.

    Args:
        trained: The checkpoints, from the top.
        tile: What they look at; a model of the optical image alone leaves the auxiliary one.
        name: Of the class.
        region: First row, first column, height and width, pixels; None is the whole tile.
        stage: Number of the one stage that is looked at, from 1; None adds up all.
        device: ``cpu``, ``cuda:0`` ..., or ``auto``.
        cfg_options: Settings that override the configs.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a model does not fit, or there is no such class, stage or region.
    """
    window = find_region(tile.rgb, region)
    responses, scene = {}, None
    for each in trained:
        inferencer = MultimodalInferencer(
            each.config, each.checkpoint, device=device, cfg_options=cfg_options
        )
        config, spec = inferencer.model.cfg, inferencer.spec
        truth = None if tile.label is None else open_truth(config, tile.rgb, tile.label)
        aux = tile.aux if spec.aux_bands else None
        found = respond(inferencer, Region(tile.rgb, aux, window, truth), name, stage)
        responses[each.name] = found
        if scene is None or (spec.aux_bands and not scene.aux.shape[-1]):
            stack, optical = found.images.transpose(1, 2, 0), len(spec.img_bands)
            scene = Scene(
                rgb=stack[..., :optical],
                aux=stack[..., optical:],
                aux_kind=aux_kind(config),
                truth=found.labels,
                classes=inferencer.classes,
                label=find_class(inferencer.classes.names, name),
            )
        del inferencer
        gc.collect()  # the network, before the next one is there
    rows = [_row(name, found) for name, found in responses.items()]
    return ResponseReport(f'{name}, {tile.name}', draw_responses(scene, rows), responses)


def find_region(rgb: str | Path, region: Sequence[int] | None) -> Window:
    """Find the part of a raster that is looked at.

    Args:
        rgb: Optical raster.
        region: First row, first column, height and width, pixels; None is all of it.

    Raises:
        FileNotFoundError: If the raster is missing.
        ValueError: If the part is not within it.
    """
    info = read_info(rgb)
    window = Window(*(region or (0, 0, info.height, info.width)))
    inside = window.bottom <= info.height and window.right <= info.width
    if min(window) < 0 or min(window.height, window.width) < 1 or not inside:
        raise ValueError(
            f'The region {tuple(window)} (row, column, height, width) is not within the '
            f'{info.height} x {info.width} pixels of {info.path}: give one that is.'
        )
    return window


def _row(name: str, found: Response) -> ResponseRow:
    """What is drawn of a checkpoint, and how much of it is on the class."""
    maps = {}
    for branch, response in zip(BRANCHES, found.maps, strict=True):
        within, of_both = found.within[branch], found.of_both.get(branch, math.nan)
        title = branch if math.isnan(of_both) else f'{branch}, {100 * of_both:.0f} % of both'
        if not math.isnan(within):
            title += f': {100 * within:.0f} % on the class'
        maps[title] = None if np.isnan(response).all() else response
    return ResponseRow(name, maps, found.prediction)


def _percent(value: float) -> str:
    return '-' if math.isnan(value) else f'{100 * value:.1f}'
