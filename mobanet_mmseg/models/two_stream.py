"""Two streams through any stock MMSeg backbone."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class TwoStream(BaseModule):
    """Runs the optical and the auxiliary image through a stock backbone each, or through one.

    What it returns is what :class:`DGFMNeck` fuses, so that any MMSeg head can follow. An
    auxiliary image of one channel is repeated to the channels that its backbone takes; for any
    other number ``aux=dict(in_channels=...)`` says how many there are.

    Args:
        backbone: Config of a backbone that takes one image and returns its maps.
        modality_channels: Channels of the optical and of the auxiliary image.
        aux: Settings in which the auxiliary backbone differs, for example
            ``dict(in_channels=2, init_cfg=None)``.
        shared: Run both images through one backbone, as one batch.
        init_cfg: mmengine's initialisation config.

    Raises:
        ValueError: If the channels do not fit, or a shared backbone is to differ.
    """

    def __init__(
        self,
        backbone: dict,
        modality_channels: Sequence[int] = (3, 1),
        aux: dict | None = None,
        shared: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if shared and aux is not None:
            raise ValueError(
                f'TwoStream got aux={aux} for a backbone that both streams share: leave aux out, '
                'or set shared=False.'
            )
        aux_backbone = {**deepcopy(backbone), **(aux or {})}
        self.modality_channels = tuple(modality_channels)
        self.repeats = _check_channels(self.modality_channels, backbone, aux_backbone)
        self.rgb = MODELS.build(backbone)
        self.aux = None if shared else MODELS.build(aux_backbone)

    def forward(self, inputs: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Encode a stacked batch.

        Args:
            inputs: (B, C, H, W), normalised.

        Returns:
            ``(rgb_maps, aux_maps)``, one (B, C_s, h_s, w_s) map per stage and stream.
        """
        rgb, aux = inputs.split(self.modality_channels, dim=1)
        aux = aux.repeat(1, self.repeats, 1, 1)
        if self.aux is not None:
            return tuple(self.rgb(rgb)), tuple(self.aux(aux))
        # one batch: batch norms see the same mixture in training that they average for testing
        maps = self.rgb(torch.cat([rgb, aux]))
        rgb_maps, aux_maps = zip(*(stage.chunk(2) for stage in maps), strict=True)
        return rgb_maps, aux_maps


def _check_channels(modality_channels: tuple[int, ...], backbone: dict, aux_backbone: dict) -> int:
    """Compare images with backbones; returns how often the auxiliary image is repeated."""
    optical, auxiliary = modality_channels
    if auxiliary < 1:
        raise ValueError(
            f'TwoStream got modality_channels={modality_channels}; it runs two images: for the '
            'optical one alone name its backbone as that of the model.'
        )
    takes, aux_takes = (config.get('in_channels', 3) for config in (backbone, aux_backbone))
    repeats = aux_takes if auxiliary == 1 else 1
    if optical != takes or auxiliary * repeats != aux_takes:
        raise ValueError(
            f'TwoStream got modality_channels={modality_channels}, but its backbones take {takes} '
            f'optical and {aux_takes} auxiliary channels: set in_channels={optical} in backbone '
            f'and aux=dict(in_channels={auxiliary}).'
        )
    return repeats
