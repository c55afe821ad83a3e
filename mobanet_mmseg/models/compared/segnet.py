"""SegNet: VGG16's convolutions, whose decoder puts each maximum back where it was.

FuseNet, V-FuseNet and CMFNet are built of the same stages and the same decoder. mmpretrain's VGG
keeps neither the indices of its poolings nor another order than Conv-BN-ReLU, which these need.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.weights.channels import with_channels
from mobanet_mmseg.weights.checkpoints import mismatches, shapes_of
from mobanet_mmseg.weights.files import CheckpointError
from mobanet_mmseg.weights.vgg import CONVS, read_vgg16

FIRST = '0.0.conv.weight'


class Pooled(NamedTuple):
    """A stage of an encoder after its pooling, as the decoder takes it.

    Args:
        map: (B, C, H / 2, W / 2), the maxima.
        indices: Which of the H * W places of its channel each maximum had.
        size: H and W.
        skip: (B, C, H, W) that is added to what the decoder unpools.
    """

    map: Tensor
    indices: Tensor
    size: tuple[int, int]
    skip: Tensor | None = None


def pool(features: Tensor, skip: Tensor | None = None) -> Pooled:
    """Take the maxima of the 2 x 2 blocks of a (B, C, H, W) map, and where they were."""
    maxima, indices = F.max_pool2d(features, 2, return_indices=True)
    return Pooled(maxima, indices, tuple(features.shape[-2:]), skip)


def convs(widths: Sequence[int], order: Sequence[str], norm_cfg: dict | None) -> nn.Sequential:
    """Chain 3 x 3 convolutions, with bias, each with a norm and a ReLU.

    Args:
        widths: Channels of the input, and of each convolution's output.
        order: Of ``'conv'``, ``'norm'`` and ``'act'``.
        norm_cfg: Config of the norm; None is BN.
    """
    settings = dict(bias=True, norm_cfg=norm_cfg or dict(type='BN'), order=tuple(order))
    return nn.Sequential(
        *(ConvModule(before, after, 3, padding=1, **settings) for before, after in pairwise(widths))
    )


class VGG16(nn.Module):
    """The convolutions of VGG16, stage by stage, without the poolings between them.

    Source: Simonyan and Zisserman, ICLR 2015 (arXiv:1409.1556).

    Args:
        in_channels: Channels of the image.
        base_channels: Channels of the first stage; the others have 2, 4, 8 and 8 times as many.
        order: See :func:`convs`.
        norm_cfg: See :func:`convs`.
    """

    def __init__(
        self, in_channels: int, base_channels: int, order: Sequence[str], norm_cfg: dict | None
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.widths = [base_channels * multiple for multiple in (1, 2, 4, 8, 8)]
        self.stages = nn.ModuleList(
            convs([before] + [width] * number, order, norm_cfg)
            for before, width, number in zip(
                [in_channels, *self.widths], self.widths, CONVS, strict=False
            )
        )

    def start_from(self, tensors: dict[str, Tensor]) -> str:
        """Load VGG16's weights.

        An image of fewer than three channels gets the first filters' mean over their channels for
        each, one of more gets it for each beyond the third.

        Args:
            tensors: From :func:`mobanet_mmseg.weights.vgg.read_vgg16`; without the filters of the
                first convolution, those stay as they are.

        Returns:
            What was loaded, in words.

        Raises:
            CheckpointError: If a tensor has another shape.
        """
        fitted = dict(tensors)
        said = f'{sum(CONVS)} convolutions {"with" if "0.0.bn.weight" in fitted else "without"} BN'
        if FIRST not in fitted:
            said += f', but for the filters of the first ({self.in_channels} channels)'
        elif self.in_channels != fitted[FIRST].shape[1]:
            fitted[FIRST] = with_channels(fitted[FIRST], self.in_channels)
            lacking = 'each channel beyond the third' if self.in_channels > 3 else 'each channel'
            said += f", {lacking} with the mean of the first filters over the file's three"
        expected = shapes_of(self.stages.state_dict())
        found = mismatches(
            shapes_of(fitted), {name: expected[name] for name in expected if name in fitted}
        )
        if found:
            raise CheckpointError(
                f'The weights of VGG16 do not fit {self.widths} channels ({found}): leave '
                'base_channels at 64 and BN as the norm, or set init_cfg=None.'
            )
        self.stages.load_state_dict(fitted, strict=False)
        return said


class VGGStreams(BaseModule):
    """One VGG16 per modality, which torchvision's weights start.

    Args:
        modality_channels: Channels of each image, optical first.
        base_channels: See :class:`VGG16`.
        order: See :func:`convs`.
        norm_cfg: See :func:`convs`.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)`` with torchvision's ``vgg16_bn`` or
            ``vgg16`` (which has no BN), or another of mmengine's.

    Raises:
        ValueError: If an image has no channels.
    """

    def __init__(
        self,
        modality_channels: Sequence[int],
        base_channels: int,
        order: Sequence[str],
        norm_cfg: dict | None,
        init_cfg: dict | None,
    ) -> None:
        super().__init__(init_cfg)
        self.modality_channels = tuple(modality_channels)
        if min(self.modality_channels) < 1:
            raise ValueError(
                f'{type(self).__name__} got modality_channels={self.modality_channels}; it runs two'
                ' images: give the auxiliary one a channel at least, or use SegNet.'
            )
        streams = (VGG16(each, base_channels, order, norm_cfg) for each in modality_channels)
        self.rgb, *auxiliary = streams
        if auxiliary:
            self.aux = auxiliary[0]

    def init_weights(self) -> None:
        """Load VGG16's weights into each stream, and log what of them.

        Raises:
            FileNotFoundError: See :func:`mobanet_mmseg.weights.vgg.read_vgg16`.
            CheckpointError: See the same, and :meth:`VGG16.start_from`.
        """
        if not isinstance(self.init_cfg, dict) or self.init_cfg.get('type') != 'Pretrained':
            super().init_weights()
            return
        source = self.init_cfg['checkpoint']
        said = self.start_from(read_vgg16(source))
        loaded = '; '.join(f'{stream}: {words}' for stream, words in said.items())
        print_log(f'{type(self).__name__} starts from {source}: {loaded}.', logger='current')

    def start_from(self, tensors: dict[str, Tensor]) -> dict[str, str]:
        """Load VGG16's weights into each stream.

        Args:
            tensors: From :func:`mobanet_mmseg.weights.vgg.read_vgg16`.

        Returns:
            What was loaded into which stream, in words.
        """
        streams = {name: part for name, part in self.named_children() if isinstance(part, VGG16)}
        return {name: stream.start_from(tensors) for name, stream in streams.items()}


@MODELS.register_module()
class SegNet(VGGStreams):
    """SegNet's encoder: VGG16's convolutions, poolings that remember where each maximum was.

    Source: Badrinarayanan et al., TPAMI 2017 (10.1109/TPAMI.2016.2644615); for aerial images with
    Conv-ReLU-BN, Audebert et al., 2018 (10.1016/j.isprsjprs.2017.11.011).

    Args:
        in_channels: Channels of the image.
        base_channels: See :class:`VGG16`.
        order: See :func:`convs`.
        norm_cfg: See :func:`convs`.
        init_cfg: See :class:`VGGStreams`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 64,
        order: Sequence[str] = ('conv', 'act', 'norm'),
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__((in_channels,), base_channels, order, norm_cfg, init_cfg)

    def forward(self, inputs: Tensor) -> tuple[Pooled, ...]:
        """Encode a normalised (B, C, H, W) batch; returns each stage, pooled to 1/2 ... 1/32."""
        pooled = []
        for stage in self.rgb.stages:
            pooled.append(pool(stage(inputs)))
            inputs = pooled[-1].map
        return tuple(pooled)


@MODELS.register_module()
class SegNetHead(BaseDecodeHead):
    """SegNet's decoder: the encoder's convolutions in reverse, after max-unpooling.

    Each stage puts its map's values where the encoder's maxima were and zeros elsewhere. The last
    convolution is the classifier, 3 x 3. What :class:`Pooled` has as ``skip`` is added to the
    unpooled map (CMFNet).

    Source: see :class:`SegNet`.

    Args:
        order: See :func:`convs`.
        stage_dropout_ratio: Dropout after each of the three deepest stages (FuseNet).
        **kwargs: Passed to MMSeg's ``BaseDecodeHead``: ``in_channels`` and ``in_index`` are the
            five stages', ``channels`` what the classifier takes.
    """

    def __init__(
        self,
        order: Sequence[str] = ('conv', 'norm', 'act'),
        stage_dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_transform='multiple_select', **kwargs)
        after = [self.channels, *self.in_channels[:-1]]
        numbers = (CONVS[0] - 1, *CONVS[1:])  # the first stage's other one is the classifier
        ratios = (0.0, 0.0, *[stage_dropout_ratio] * 3)
        stages = [
            convs([width] * number + [narrower], order, self.norm_cfg).append(nn.Dropout(ratio))
            for width, number, narrower, ratio in zip(
                self.in_channels, numbers, after, ratios, strict=True
            )
        ]
        self.stages = nn.ModuleList(reversed(stages))
        self.conv_seg = nn.Conv2d(self.channels, self.out_channels, 3, padding=1)

    def forward(self, inputs: Sequence[Pooled]) -> Tensor:
        """Give the (B, K, H, W) logits of an encoder's stages, at the image's size."""
        pooled = self._transform_inputs(inputs)
        maps = pooled[-1].map
        for stage, encoded in zip(self.stages, reversed(pooled), strict=True):
            maps = F.max_unpool2d(maps, encoded.indices, 2, output_size=encoded.size)
            if encoded.skip is not None:
                maps = maps + encoded.skip
            maps = stage(maps)
        return self.cls_seg(maps)
