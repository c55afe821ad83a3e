"""Two streams around one frozen encoder: what every such backbone checks and freezes."""

from collections.abc import Sequence
from typing import Self

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from mobanet_mmseg.models.encoder import Encoder

RENAMED = {'mmpretrain.VisionTransformer': 'DINOv2', 'mmpretrain.ViTSAM': 'SAM'}


class FrozenStreams(BaseModule):
    """A backbone of two modalities with one frozen encoder; a subclass adds what is trained.

    The encoder gets no gradient and stays in eval mode.

    Args:
        encoder: Config of an :class:`Encoder`, such as ``dict(type='DINOv2', arch='base')``; its
            ``init_cfg`` names the weights.
        modality_channels: Channels of the optical (always 3) and of the auxiliary image.
        allow_random_encoder: Run without pretrained weights, for demos and tests.
        init_cfg: mmengine's initialisation config.

    Raises:
        ValueError: If the optical image has not 3 channels or the auxiliary one none, or
            ``encoder`` is another model.
    """

    def __init__(
        self,
        encoder: dict,
        modality_channels: Sequence[int] = (3, 1),
        allow_random_encoder: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(modality_channels) != 2 or modality_channels[0] != 3 or modality_channels[1] < 1:
            raise ValueError(
                f'modality_channels={tuple(modality_channels)}; it is (3, channels of aux, at '
                'least 1): the frozen patch embedding takes 3 optical channels, any further band '
                'goes into aux.'
            )
        self.modality_channels = tuple(modality_channels)
        self.allow_random_encoder = allow_random_encoder
        self.encoder = build_encoder(encoder)
        self.encoder.requires_grad_(False)
        self.encoder.eval()

    @property
    def patch_size(self) -> int:
        """Side of a patch, pixels."""
        return self.encoder.patch_size

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the encoder, which stays in eval mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def check(self, inputs: Tensor) -> None:
        """Refuse to run without weights, or on images that do not fit.

        Args:
            inputs: (B, C, H, W).

        Raises:
            RuntimeError: If the encoder never got weights and ``allow_random_encoder`` is not set.
            ValueError: If the channels or the size do not fit.
        """
        if not (self.encoder.weights_given or self.allow_random_encoder):
            raise RuntimeError(
                'The frozen encoder was never given weights, so it would stay random: set '
                'model.backbone.encoder.init_cfg=dict(type="Pretrained", checkpoint=FILE) and '
                'train through the runner (or call model.init_weights()), load a checkpoint that '
                'holds the encoder, or set allow_random_encoder=True for a demo or a test.'
            )
        _, channels, height, width = inputs.shape
        name, patch_size = type(self).__name__, self.patch_size
        if channels != sum(self.modality_channels):
            raise ValueError(
                f'{name} got {channels} channels, modality_channels='
                f'{self.modality_channels} expects {sum(self.modality_channels)}.'
            )
        if height % patch_size or width % patch_size:
            raise ValueError(
                f'{name} got {height} x {width} pixels, not multiples of its patch size '
                f'{patch_size}: set size_divisor={patch_size} in the data_preprocessor '
                'and use the segmentor MoBaNet or TiledEncoderDecoder, which pad and crop back.'
            )


def build_encoder(config: dict) -> Encoder:
    """Build an encoder of MMSeg's registry, whatever the default scope has under its name.

    Args:
        config: ``type`` and the arguments of an :class:`Encoder`.

    Returns:
        The encoder.

    Raises:
        ValueError: If the config names a ViT alone, or anything else that is no encoder.
    """
    if config['type'] in RENAMED:
        name = RENAMED[config['type']]
        raise ValueError(
            f'encoder has type={config["type"]!r}; encoders are named for what they run now: write '
            f"encoder=dict(type={name!r}, arch=..., init_cfg=...), which builds {name}'s ViT itself"
            ' (docs/add_an_encoder.md for any other ViT).'
        )
    encoder = MODELS.build({'_scope_': 'mmseg', **config})
    if not isinstance(encoder, Encoder):
        raise ValueError(
            f'encoder is a {type(encoder).__name__}; it can be DINOv2, DINOv3, SAM or an '
            'Encoder of your own (docs/add_an_encoder.md).'
        )
    return encoder
