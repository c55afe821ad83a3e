"""Response maps of a part of a raster: one set of weights, one map, whatever its windows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.inference.predict import ahead
from mobanet_mmseg.models.mobanet import STREAMS
from mobanet_mmseg.models.responses import BRANCHES, ResponseMaps
from mobanet_mmseg.models.windows import prepare_windows
from mobanet_mmseg.tiling.sliding_window import Predicted, Rows, slide
from mobanet_mmseg.tiling.windows import Window, describe_place, plan_strips
from mobanet_mmseg.visualization.thumbnails import Thumbnail


class Region(NamedTuple):
    """What of a tile is looked at.

    Args:
        rgb: Optical raster.
        aux: Auxiliary raster; None where there is none.
        window: Part of the optical raster.
        truth: Gives the class indices (h, w) of a window of it; None without labels.
    """

    rgb: str | Path
    aux: str | Path | None
    window: Window
    truth: Callable[[Window], np.ndarray] | None = None


class Response(NamedTuple):
    """How one model responds to a class.

    Args:
        maps: (3, h, w) responses of the fused, the rgb and the aux branch, small enough to be
            drawn; NaN where there is no data, or the model has no such branch.
        within: Of each branch the part of all response that lies on pixels of the class, by the
            truth; NaN without labels.
        of_both: What of the response of both streams is rgb's, and what aux's; NaN where the model
            has not both.
        of_class: The part of the labelled pixels that are of the class; NaN likewise.
        prediction: (h, w) class indices, 255 where there is no optical data.
        images: (C, h, w) what the network got, not normalised.
        labels: (h, w) the truth, where there are labels.
    """

    maps: np.ndarray
    within: dict[str, float]
    of_both: dict[str, float]
    of_class: float
    prediction: np.ndarray
    images: np.ndarray
    labels: np.ndarray | None


def respond(
    inferencer: MultimodalInferencer, region: Region, name: str, stage: int | None = None
) -> Response:
    """Compute a model's response maps of a class; see :class:`ResponseMaps`.

    The windows are read twice: for the weights, and for the maps.

    Args:
        inferencer: The model; its tiling is that of a prediction.
        region: What is looked at.
        name: Of the class.
        stage: Number of the one stage that is looked at, from 1; None adds up all.

    Raises:
        FileNotFoundError: If a raster is missing.
        ValueError: If the model has no such class or stage, the rasters do not fit, or the region
            has no optical data.
    """
    label = find_class(inferencer.classes.names, name)
    maps = ResponseMaps(inferencer.model, label, stage)
    height, width = region.window[2:]
    images = Thumbnail(height, width, inferencer.spec.num_channels)
    prediction = Thumbnail(height, width, 1)
    for done in _slide(inferencer, region, maps.weigh, len(inferencer.classes), images):
        labelled = done.logits[0].argmax(dim=0).cpu().numpy()
        prediction.put(done.window, np.where(done.valid.numpy(), labelled, IGNORE_INDEX)[None])
    if not maps.branches:
        raise ValueError(f'{region.rgb} has no optical data in {describe_place(region.window)}.')
    drawn = Thumbnail(height, width, len(BRANCHES))
    labels = Thumbnail(height, width, 1)
    sums = _Sums(label, maps.branches)
    for done in _slide(inferencer, region, maps.respond, len(maps.branches)):
        responses, valid = done.logits[0].cpu().numpy(), done.valid.numpy()
        drawn.put(done.window, _in_order(maps.branches, responses, valid))
        sums.add_all(responses[:, valid])
        if region.truth is not None:
            truth = region.truth(_moved(done.window, region.window))
            labels.put(done.window, truth[None])
            sums.add(responses, truth, valid, len(inferencer.classes))
    return Response(
        maps=drawn.pixels,
        within=sums.within(),
        of_both=sums.of_both(),
        of_class=_ratio(*sums.pixels),
        prediction=prediction.pixels[0].astype(np.int32),
        images=images.pixels,
        labels=None if region.truth is None else labels.pixels[0].astype(np.int32),
    )


def _in_order(branches: Sequence[str], responses: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Put responses in the order of all branches; NaN where there is nothing."""
    every = np.full((len(BRANCHES), *valid.shape), np.nan, np.float32)
    for branch, response in zip(branches, responses, strict=True):
        every[BRANCHES.index(branch)] = np.where(valid, response, np.nan)
    return every


def find_class(names: tuple[str, ...], name: str) -> int:
    """Find a class by its name, with blanks or underscores.

    Args:
        names: Of all classes.
        name: Of one.

    Raises:
        ValueError: If there is none.
    """
    known = [each.replace('_', ' ').lower() for each in names]
    if name.replace('_', ' ').lower() not in known:
        raise ValueError(f'There is no class {name!r}: give one of {", ".join(names)}.')
    return known.index(name.replace('_', ' ').lower())


class _Sums:
    """How much of the response lies on the class."""

    def __init__(self, label: int, branches: tuple[str, ...]) -> None:
        self.label, self.branches = label, branches
        self.inside, self.labelled, self.everywhere = np.zeros((3, len(branches)))
        self.pixels = np.zeros(2, np.int64)

    def add_all(self, responses: np.ndarray) -> None:
        self.everywhere += responses.sum(axis=1, dtype=np.float64)

    def add(
        self, responses: np.ndarray, truth: np.ndarray, valid: np.ndarray, classes: int
    ) -> None:
        labelled = (truth < classes) & valid
        own = labelled & (truth == self.label)
        self.inside += responses[:, own].sum(axis=1, dtype=np.float64)
        self.labelled += responses[:, labelled].sum(axis=1, dtype=np.float64)
        self.pixels += own.sum(), labelled.sum()

    def within(self) -> dict[str, float]:
        shares = (_ratio(*pair) for pair in zip(self.inside, self.labelled, strict=True))
        return dict.fromkeys(BRANCHES, np.nan) | dict(zip(self.branches, shares, strict=True))

    def of_both(self) -> dict[str, float]:
        streams = dict(zip(self.branches, self.everywhere, strict=True))
        streams = {branch: streams.get(branch, np.nan) for branch in STREAMS}
        return {branch: _ratio(own, sum(streams.values())) for branch, own in streams.items()}


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan


def _slide(
    inferencer: MultimodalInferencer,
    region: Region,
    network: Callable[[Tensor, Sequence[int]], Tensor],
    channels: int,
    images: Thumbnail | None = None,
) -> Iterator[Predicted]:
    """Slide a network of prepared windows, which gives so many channels, over a region."""
    model = inferencer.model
    device = next(model.parameters()).device
    size = region.window[2:]
    strips = plan_strips(*size, inferencer.tiling)

    def of_raw_windows(windows: Tensor) -> Tensor:
        return network(prepare_windows(model, windows), windows.shape[-2:])

    with inferencer.open_pair(region.rgb, region.aux) as source:

        def read() -> Iterator[Rows]:
            for strip in strips:
                pixels, valid = source.read(_moved(strip.read, region.window))
                if images is not None:
                    images.put(strip.read, np.where(valid, pixels, np.nan))
                yield Rows(torch.from_numpy(pixels)[None].to(device), torch.from_numpy(valid))

        with closing(ahead(read())) as rows:
            yield from slide(of_raw_windows, channels, rows, strips, size, inferencer.tiling)


def _moved(window: Window, region: Window) -> Window:
    return window._replace(row=window.row + region.row, col=window.col + region.col)
