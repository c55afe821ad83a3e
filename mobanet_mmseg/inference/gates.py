"""Where DGFM's gates look, over a raster of any size."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch

from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.inference.predict import ahead
from mobanet_mmseg.inference.reading import PairReader
from mobanet_mmseg.models.gates import GateWatch, gate_network
from mobanet_mmseg.tiling.sliding_window import Rows, slide
from mobanet_mmseg.tiling.windows import Window

Reader = Callable[[Window, np.ndarray, np.ndarray], None]


class GateRows(NamedTuple):
    """What the gates of S stages do in some pixels of a raster.

    Args:
        window: Where they lie.
        weight: Weight of the auxiliary stream, 1 - G, mean over the channels; (S, h, w) float32.
        share: Its share of the fused features' magnitude, likewise.
        valid: (h, w) bool, where there is optical data.
    """

    window: Window
    weight: np.ndarray
    share: np.ndarray
    valid: np.ndarray


def find_gates(inferencer: MultimodalInferencer) -> GateWatch:
    """Find the gates of a trained model.

    Args:
        inferencer: The model.

    Raises:
        ValueError: If it has none.
    """
    watch = GateWatch(inferencer.model)
    if not watch.stages:
        raise ValueError(
            f'The {type(inferencer.model).__name__} of {inferencer.files[0]} has no DGFM, so there '
            "is no gate to look at: give a model with neck=dict(type='DGFMNeck', gated=True)."
        )
    return watch


@torch.inference_mode()
def gate_rows(
    inferencer: MultimodalInferencer,
    watch: GateWatch,
    source: PairReader,
    seen: Reader | None = None,
) -> Iterator[GateRows]:
    """Slide over a pair of rasters as a prediction does, and give what the gates do.

    Each window's gates are brought to its pixels as heads do with maps; where windows overlap they
    are averaged.

    Args:
        inferencer: The model; its tiling is that of a prediction.
        watch: Its gates.
        source: An open pair.
        seen: Told of all that is read, in the thread that reads: the window, its pixels (C, h, w)
            and where there is optical data (h, w).

    Yields:
        The next rows, from the top, column block after column block.
    """
    device = next(inferencer.model.parameters()).device
    strips = inferencer.plan(source)
    stages = len(watch.stages)

    def read() -> Iterator[Rows]:
        for strip in strips:
            pixels, valid = source.read(strip.read)
            if seen is not None:
                seen(strip.read, pixels, valid)
            yield Rows(torch.from_numpy(pixels)[None].to(device), torch.from_numpy(valid))

    network = gate_network(inferencer.model, watch, inferencer.amp)
    size = source.info.height, source.info.width
    with closing(ahead(read())) as rows, watch:
        for done in slide(network, 2 * stages, rows, strips, size, inferencer.tiling):
            of_rgb = done.logits[0].cpu().numpy()
            yield GateRows(
                done.window, 1 - of_rgb[:stages], 1 - of_rgb[stages:], done.valid.numpy()
            )
