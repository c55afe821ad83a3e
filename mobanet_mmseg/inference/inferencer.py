"""The Python face of prediction: a trained model that takes arrays, files and open rasters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.config import Config

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.inference.pair_inferencer import PairInferencer, tiling_for
from mobanet_mmseg.inference.predict import window_network
from mobanet_mmseg.inference.trained import (
    aux_kind,
    load_segmentor,
    missing_aux,
    open_truth,
    reading_spec,
)
from mobanet_mmseg.models.data_preprocessor import select_modality
from mobanet_mmseg.models.tiled import augment
from mobanet_mmseg.tiling.windows import Window

AMP_TYPES = {None: None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


class MultimodalInferencer(PairInferencer):
    """A trained model that predicts pairs of images.

        inferencer = MultimodalInferencer('potsdam_dinov2_b.py', 'epoch_50.pth')
        prediction = inferencer('top_potsdam_2_13_RGB.tif', 'dsm_potsdam_02_13.tif')
        inferencer.predict_file('city.tif', 'height.tif', 'labels.tif')  # of any size

    Args:
        config: Config file, or the config itself; its test dataset says which bands are read and
            how the auxiliary image is scaled.
        checkpoint: File that the training wrote.
        device: ``cpu``, ``cuda:0`` ..., or ``auto`` for a GPU if there is one.
        modality: ``'rgb'`` or ``'aux'`` lets the model see one of the two, while the other is 0
            after normalisation (the paper's Table V).
        window: Window height and width, pixels, or one number for both; these four override the
            model's ``test_cfg``.
        stride: Step down and step right, likewise.
        batch_size: Windows at once, or ``'auto'`` to try which number is fastest.
        blend: ``'gaussian'`` or ``'cosine'`` weights within a window; ``'none'`` for none.
        tta: Average the logits over ``'flips'`` or the eight symmetries ``'d4'``.
        amp: Type of autocast, ``'bf16'`` or ``'fp16'``; None is full precision.
        cfg_options: Settings that override the config.

    Raises:
        CheckpointError: If the checkpoint is none of MMEngine's, or does not fit the config.
        FileNotFoundError: If a file is missing.
        ValueError: If the device is not there, or the model or a setting is of no use.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        *,
        device: str = 'auto',
        modality: Literal['both', 'rgb', 'aux'] = 'both',
        window: int | tuple[int, int] | None = None,
        stride: int | tuple[int, int] | None = None,
        batch_size: int | Literal['auto'] | None = None,
        blend: Literal['gaussian', 'cosine', 'none'] | None = None,
        tta: Literal['flips', 'd4'] | None = None,
        amp: Literal['bf16', 'fp16'] | None = None,
        cfg_options: dict[str, Any] | None = None,
    ) -> None:
        if amp not in AMP_TYPES:
            raise ValueError(f"amp={amp!r}; it is 'bf16', 'fp16' or None.")
        self.amp = AMP_TYPES[amp]
        self.model = load_segmentor(config, checkpoint, device, cfg_options)
        spec = reading_spec(self.model.cfg)
        self.modality = modality
        if modality != 'both':
            select_modality(self.model, modality, spec.modality_channels)
        needs_aux = {'both': missing_aux(self.model.cfg) == 'error', 'rgb': False, 'aux': True}
        if tta is not None:
            augment(self.model, tta)
        super().__init__(
            window_network(self.model, self.amp),
            spec,
            Classes.of(self.model.dataset_meta),
            tiling_for(self.model.test_cfg, window, stride, blend),
            needs_aux=needs_aux[modality],
            temperature=self.model.temperature,
            files=[self.model.cfg.filename, checkpoint],
        )
        self.choose_batch(batch_size)

    @property
    def aux_kind(self) -> str:
        """What the auxiliary image holds, as pictures show it."""
        return aux_kind(self.model.cfg)

    def open_truth(
        self, img_path: str | Path, label_path: str | Path
    ) -> Callable[[Window | None], np.ndarray]:
        """Find out how labels are read as the test dataset does; see the function of that name."""
        return open_truth(self.model.cfg, img_path, label_path)
