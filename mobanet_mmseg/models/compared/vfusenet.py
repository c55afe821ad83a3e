"""V-FuseNet: a third, virtual encoder between the optical and the auxiliary one."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from mobanet_mmseg.models.compared.segnet import FIRST, VGG16, Pooled, VGGStreams, pool


@MODELS.register_module()
class VFuseNet(VGGStreams):
    r"""V-FuseNet's three encoders: of the optical, the auxiliary and a virtual image.

    The first two never hear of each other. Stage i of the virtual encoder V reads the fused map
    before it, its first stage both modalities' first maps side by side, and

    .. math:: f_i = V_i(\text{pool}(f_{i-1})) + r_i + a_i, \quad f_1 = V_1([r_1; a_1]) + r_1 + a_1

    :class:`SegNetHead` unpools with the indices of the fused maps' poolings.

    Source: Audebert et al., Beyond RGB, 2018 (10.1016/j.isprsjprs.2017.11.011).

    Args:
        modality_channels: Channels of the optical and of the auxiliary image.
        base_channels: See :class:`VGG16`.
        order: See :func:`convs`.
        norm_cfg: See :func:`convs`.
        init_cfg: See :class:`VGGStreams`. The virtual encoder starts from the same weights, but for
            the filters of its first convolution, which reads maps and no image.

    Raises:
        ValueError: If an image has no channels.
    """

    def __init__(
        self,
        modality_channels: Sequence[int] = (3, 1),
        base_channels: int = 64,
        order: Sequence[str] = ('conv', 'norm', 'act'),
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(modality_channels, base_channels, order, norm_cfg, init_cfg)
        self.virtual = VGG16(2 * base_channels, base_channels, order, norm_cfg)

    def start_from(self, tensors: dict[str, Tensor]) -> dict[str, str]:
        """See :meth:`VGGStreams.start_from`."""
        others = {name: value for name, value in tensors.items() if name != FIRST}
        streams = dict(rgb=tensors, aux=tensors, virtual=others)
        return {name: getattr(self, name).start_from(given) for name, given in streams.items()}

    def forward(self, inputs: Tensor) -> tuple[Pooled, ...]:
        """Encode a normalised (B, C, H, W) batch; returns each fused stage, pooled."""
        rgb, aux = inputs.split(self.modality_channels, dim=1)
        stages: list[Pooled] = []
        for rgb_stage, aux_stage, virtual_stage in zip(
            self.rgb.stages, self.aux.stages, self.virtual.stages, strict=True
        ):
            rgb, aux = rgb_stage(rgb), aux_stage(aux)
            virtual = stages[-1].map if stages else torch.cat([rgb, aux], dim=1)
            stages.append(pool(virtual_stage(virtual) + rgb + aux))
            rgb, aux = F.max_pool2d(rgb, 2), F.max_pool2d(aux, 2)
        return tuple(stages)
