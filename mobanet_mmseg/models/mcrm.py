"""Modality-conditional random masking of a normalised training batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mobanet_mmseg.modalities import sample_rectangle


class MCRM(nn.Module):
    """Masks one rectangle of one modality in a part of the batch.

    ``floor(ratio * B)`` samples are masked, half of them in the optical image and half in the
    auxiliary one; the odd one goes to either at random. The masked pixels become 0, which is the
    mean of a normalised image; the sample's other modality stays whole.

    Source: MoBaNet (arXiv:2603.17705), Eq. 22-23.

    Args:
        modality_channels: Channels of the optical and of the auxiliary image.
        ratio: Fraction of the samples of a batch that are masked.
        area_ratio: Least and greatest fraction of H * W that a rectangle covers.
        aspect_ratio: Least and greatest height / width of a rectangle.

    Raises:
        ValueError: If ``ratio`` is not in 0..1.
    """

    def __init__(
        self,
        modality_channels: Sequence[int],
        ratio: float = 0.25,
        area_ratio: tuple[float, float] = (0.1, 0.3),
        aspect_ratio: tuple[float, float] = (0.5, 2.0),
    ) -> None:
        super().__init__()
        if not 0 <= ratio <= 1:
            raise ValueError(f'MCRM got ratio={ratio}; it is a fraction of the batch: 0 to 1.')
        self.num_optical = modality_channels[0]
        self.ratio = ratio
        self.area_ratio = area_ratio
        self.aspect_ratio = aspect_ratio

    def forward(self, images: Tensor) -> Tensor:
        """Mask a copy of a normalised (B, C, H, W) batch."""
        images = images.clone()
        rng = np.random.default_rng(int(torch.randint(2**31, ())))  # follows torch's seed
        masked = rng.permutation(len(images))[: int(self.ratio * len(images))]
        first = rng.integers(2)  # who takes the odd sample
        optical, auxiliary = slice(0, self.num_optical), slice(self.num_optical, None)
        for turn, sample in enumerate(masked):
            channels = (optical, auxiliary)[(turn + first) % 2]
            top, left, height, width = sample_rectangle(
                *images.shape[-2:], self.area_ratio, self.aspect_ratio, rng
            )
            images[sample, channels, top : top + height, left : left + width] = 0
        return images
