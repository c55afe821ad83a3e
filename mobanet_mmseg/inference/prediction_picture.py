"""The picture of one predicted raster, drawn from its files without holding them whole."""

from pathlib import Path

import numpy as np

from mobanet_mmseg.inference.pair_inferencer import PairInferencer
from mobanet_mmseg.inference.pairs import Pair
from mobanet_mmseg.modalities import AuxRange
from mobanet_mmseg.rasters.windows import read_window
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.visualization.pictures import render_panels, save_picture

LONGER_SIDE = 2400  # pixels that are drawn at most: twice a panel's, which is then drawn by area


def draw_pair(
    inferencer: PairInferencer,
    pair: Pair,
    label_path: str | Path | None,
    picture_path: str | Path,
    aux_range: str | AuxRange,
) -> None:
    """Draw each n-th row and column of what the model saw and of what it made of it.

    Args:
        inferencer: The model.
        pair: The rasters, whose label map is written already.
        label_path: Labels of the raster, to be drawn beside; None for none.
        picture_path: PNG or JPEG to write.
        aux_range: As for a call of the inferencer.

    Raises:
        FileNotFoundError: If a file is missing.
        OSError: If the picture cannot be written.
        ValueError: If the files do not fit each other or the model.
    """
    rgb, predicted, true = [], [], []
    with inferencer.open_pair(pair.rgb, pair.aux, aux_range) as source:
        info = source.info
        truth = None if label_path is None else inferencer.open_truth(info.path, label_path)
        step = -(-max(info.height, info.width) // LONGER_SIDE)
        for row in range(0, info.height, step):
            window = Window(row, 0, 1, info.width)
            rgb.append(source.read(window)[0][:, 0, ::step].T)
            predicted.append(read_window(pair.out, (1,), window)[0, ::step, 0])
            if truth is not None:
                true.append(truth(window)[0, ::step])
    stack, num_optical = np.stack(rgb), len(inferencer.spec.img_bands)
    picture = render_panels(
        rgb=stack[..., :num_optical],
        aux=stack[..., num_optical:],
        truth=np.stack(true) if true else None,
        prediction=np.stack(predicted),
        classes=inferencer.classes,
        aux_kind=inferencer.aux_kind,
    )
    save_picture(picture_path, picture)
    print(picture_path)
