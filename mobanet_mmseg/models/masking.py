"""Modality-conditional random masking for any pipeline, sample by sample."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

from mobanet_mmseg.modalities import check_rectangle, sample_rectangle


@TRANSFORMS.register_module()
class ModalityRandomMask(BaseTransform):
    """Mask one rectangle of one modality, either of which is as likely.

    For pipelines of other models; MoBaNet's own data preprocessor masks its batches. The
    normalisation follows the pipeline, so that the rectangle is filled with the channels' means
    to become 0.

    Source: MoBaNet (arXiv:2603.17705), Eq. 22-23; the paper balances the modalities in a batch,
    this transform on average.

    Required Keys:

    - img ((H, W, C))

    Modified Keys:

    - img (a masked copy)

    Args:
        modality_channels: Channels of the optical and of the auxiliary image.
        fill: Value of each channel in the rectangle: the mean that is subtracted afterwards.
        prob: Fraction of the samples that are masked.
        area_ratio: Least and greatest fraction of H * W.
        aspect_ratio: Least and greatest height / width.

    Raises:
        ValueError: If the arguments do not fit one another.
    """

    def __init__(
        self,
        modality_channels: Sequence[int],
        fill: Sequence[float],
        prob: float = 0.25,
        area_ratio: tuple[float, float] = (0.1, 0.3),
        aspect_ratio: tuple[float, float] = (0.5, 2.0),
    ) -> None:
        if len(modality_channels) != 2 or len(fill) != sum(modality_channels):
            raise ValueError(
                f'ModalityRandomMask got modality_channels={modality_channels} and '
                f'{len(fill)} values to fill with: give (optical, auxiliary) and one per channel.'
            )
        if not 0 <= prob <= 1:
            raise ValueError(f'ModalityRandomMask got prob={prob}: give a probability, 0..1.')
        check_rectangle(area_ratio, aspect_ratio)
        self.modality_channels = tuple(modality_channels)
        self.fill = tuple(fill)
        self.prob = prob
        self.area_ratio = area_ratio
        self.aspect_ratio = aspect_ratio

    @cache_randomness
    def draw(self, height: int, width: int) -> tuple[slice, tuple[int, int, int, int]] | None:
        """Draw the channels and the rectangle (y, x, h, w) to mask, or None for neither.

        Args:
            height: Height of the image, pixels.
            width: Width of the image, pixels.
        """
        if np.random.random() >= self.prob:
            return None
        optical = self.modality_channels[0]
        channels = (slice(0, optical), slice(optical, None))[np.random.randint(2)]
        rng = np.random.RandomState(np.random.randint(2**31))
        return channels, sample_rectangle(height, width, self.area_ratio, self.aspect_ratio, rng)

    def transform(self, results: dict) -> dict:
        """Mask ``img``.

        Raises:
            ValueError: If it has another number of channels.
        """
        img = results['img']
        if img.shape[-1] != len(self.fill):
            raise ValueError(
                f'ModalityRandomMask expects {len(self.fill)} channels, the image has '
                f'{img.shape[-1]}: correct modality_channels and fill.'
            )
        mask = self.draw(*img.shape[:2])
        if mask is not None:
            channels, (y, x, h, w) = mask
            results['img'] = img.copy()
            results['img'][y : y + h, x : x + w, channels] = self.fill[channels]
        return results
