"""FuseNet: SegNet on the optical image, to whose stages those of the auxiliary image are added."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.compared.segnet import Pooled, VGGStreams, pool


@MODELS.register_module()
class FuseNet(VGGStreams):
    r"""FuseNet's two encoders: each stage's auxiliary map goes into the optical one, never back.

    .. math:: r_i \leftarrow r_i + a_i \quad \text{or} \quad r_i \leftarrow (r_i + a_i) / 2

    before the pooling, whose indices :class:`SegNetHead` unpools with. The paper adds; of its two
    public implementations in PyTorch one adds and one takes the mean.

    Source: Hazirbas et al., ACCV 2016 (10.1007/978-3-319-54181-5_14).

    Args:
        modality_channels: Channels of the optical and of the auxiliary image.
        fusion: ``'sum'`` or ``'mean'``.
        dropout_ratio: Dropout of what the third and fourth poolings of both encoders give, and the
            fifth: 0.5 where maps are added, 0.4 where their mean is taken.
        base_channels: See :class:`VGG16`.
        order: See :func:`convs`.
        norm_cfg: See :func:`convs`.
        init_cfg: See :class:`VGGStreams`.

    Raises:
        ValueError: If ``fusion`` is neither, or an image has no channels.
    """

    def __init__(
        self,
        modality_channels: Sequence[int] = (3, 1),
        fusion: Literal['sum', 'mean'] = 'sum',
        dropout_ratio: float = 0.5,
        base_channels: int = 64,
        order: Sequence[str] = ('conv', 'norm', 'act'),
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(modality_channels, base_channels, order, norm_cfg, init_cfg)
        if fusion not in ('sum', 'mean'):
            raise ValueError(f"FuseNet got fusion={fusion!r}: give 'sum' or 'mean'.")
        self.fusion = fusion
        self.dropouts = nn.ModuleList(nn.Dropout(dropout_ratio * (stage > 1)) for stage in range(5))

    def forward(self, inputs: Tensor) -> tuple[Pooled, ...]:
        """Encode a normalised (B, C, H, W) batch; returns each fused stage, pooled."""
        rgb, aux = inputs.split(self.modality_channels, dim=1)
        stages = []
        for rgb_stage, aux_stage, dropout in zip(
            self.rgb.stages, self.aux.stages, self.dropouts, strict=True
        ):
            rgb, aux = rgb_stage(rgb), aux_stage(aux)
            fused = pool(rgb + aux if self.fusion == 'sum' else (rgb + aux) / 2)
            rgb, aux = dropout(fused.map), dropout(F.max_pool2d(aux, 2))
            stages.append(fused._replace(map=rgb))
        return tuple(stages)
