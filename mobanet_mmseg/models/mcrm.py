"""Modality-conditional random masking: of a normalised batch, or of samples in any pipeline."""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmengine.dist import broadcast, get_dist_info
from mmseg.registry import TRANSFORMS
from torch import Tensor, nn

from mobanet_mmseg.tiling.windows import Window

Interval = tuple[float, float]
AREA_RATIO = (0.1, 0.3)
ASPECT_RATIO = (0.5, 2.0)


class MCRM(nn.Module):
    """Masks one rectangle of one modality, or all of it, in a part of the batch.

    ``floor(ratio * B)`` samples are masked by a rectangle, half of them in the optical image and
    half in the auxiliary one; the odd one goes to either at random. ``floor(whole_ratio * B)``
    others lose one modality wholly, shared out alike. The masked pixels become 0, which is the
    mean of a normalised image; the sample's other modality stays whole. What has no other one, for
    that is 0 everywhere, is not lost wholly. B counts the samples of all processes, each of which
    masks its own: two processes with half the batch each mask what one does with the whole.

    Source: MoBaNet (arXiv:2603.17705), Eq. 22-23; the paper masks by rectangles alone.

    Args:
        modality_channels: Channels of the optical and of the auxiliary image.
        ratio: Fraction of the samples of a batch that are masked by a rectangle.
        area_ratio: Least and greatest fraction of H * W that a rectangle covers.
        aspect_ratio: Least and greatest height / width of a rectangle.
        whole_ratio: Fraction of the samples of a batch that lose one modality wholly.

    Raises:
        ValueError: If the arguments do not fit one another.
    """

    def __init__(
        self,
        modality_channels: Sequence[int],
        ratio: float = 0.25,
        area_ratio: Interval = AREA_RATIO,
        aspect_ratio: Interval = ASPECT_RATIO,
        whole_ratio: float = 0.0,
    ) -> None:
        super().__init__()
        check_mask(modality_channels, ratio, area_ratio, aspect_ratio, whole_ratio)
        self.modalities = modality_slices(modality_channels)
        self.ratio = ratio
        self.area_ratio = area_ratio
        self.aspect_ratio = aspect_ratio
        self.whole_ratio = whole_ratio

    def forward(self, images: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Mask a copy of a normalised batch.

        Args:
            images: (B, C, H, W).
            size: Height and width of the part that is image in each sample, from the upper left;
                rectangles lie within it. None is all of it.
        """
        height, width = size or images.shape[-2:]
        images = images.clone()
        rank, world_size = get_dist_info()
        seed = torch.randint(2**31, ())  # follows torch's seed
        broadcast(seed)  # the first process's: all draw the same
        rng = np.random.default_rng(int(seed))
        count = len(images) * world_size
        samples = rng.permutation(count)
        masked, others = np.split(samples, [int(self.ratio * count)])
        whole = others[: int(self.whole_ratio * count)]

        def own(sample: int) -> Tensor:
            index, process = divmod(sample, world_size)  # samplers deal out samples in turns
            return images[index : index + 1] if process == rank else images[:0]

        for sample, lost, _ in self._share_out(masked, rng):
            box = sample_rectangle(height, width, self.area_ratio, self.aspect_ratio, rng)
            own(sample)[:, lost, box.rows, box.cols] = 0
        for sample, lost, kept in self._share_out(whole, rng):
            if own(sample)[:, kept].any():
                own(sample)[:, lost] = 0
        return images

    def _share_out(
        self, samples: np.ndarray, rng: np.random.Generator
    ) -> Iterator[tuple[int, slice, slice]]:
        """Give each sample the channels that it loses and keeps, the modalities in turns."""
        first = rng.integers(2)  # who takes the odd sample
        for turn, sample in enumerate(samples):
            lost = (turn + first) % 2
            yield sample, self.modalities[lost], self.modalities[1 - lost]


@TRANSFORMS.register_module(name='MCRM')
class MCRMTransform(BaseTransform):
    """Masks one rectangle of one modality, or all of it, either modality as likely.

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
        fill: Value of each masked channel: the mean that is subtracted afterwards.
        ratio: Fraction of the samples that are masked by a rectangle.
        area_ratio: Least and greatest fraction of H * W that a rectangle covers.
        aspect_ratio: Least and greatest height / width of a rectangle.
        whole_ratio: Fraction of the samples that lose one modality wholly; of the others.

    Raises:
        ValueError: If the arguments do not fit one another.
    """

    def __init__(
        self,
        modality_channels: Sequence[int],
        fill: Sequence[float],
        ratio: float = 0.25,
        area_ratio: Interval = AREA_RATIO,
        aspect_ratio: Interval = ASPECT_RATIO,
        whole_ratio: float = 0.0,
    ) -> None:
        check_mask(modality_channels, ratio, area_ratio, aspect_ratio, whole_ratio)
        if len(fill) != sum(modality_channels):
            raise ValueError(
                f'MCRM got {len(fill)} values to fill {sum(modality_channels)} channels with: give '
                'one per channel, optical first.'
            )
        self.modalities = modality_slices(modality_channels)
        self.fill = tuple(fill)
        self.ratio = ratio
        self.area_ratio = area_ratio
        self.aspect_ratio = aspect_ratio
        self.whole_ratio = whole_ratio

    @cache_randomness
    def draw(self, height: int, width: int) -> tuple[slice, Window] | None:
        """Draw the channels and the rectangle to mask, or None for neither.

        Args:
            height: Height of the image, pixels.
            width: Width of the image, pixels.
        """
        chance = np.random.random()
        if chance >= self.ratio + self.whole_ratio:
            return None
        channels = self.modalities[np.random.randint(2)]
        if chance >= self.ratio:
            return channels, Window(0, 0, height, width)
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
                f'MCRM expects {len(self.fill)} channels, the image has {img.shape[-1]}: correct '
                'modality_channels and fill.'
            )
        mask = self.draw(*img.shape[:2])
        if mask is not None:
            channels, box = mask
            results['img'] = img.copy()
            results['img'][box.rows, box.cols, channels] = self.fill[channels]
        return results


@TRANSFORMS.register_module()
class ModalityRandomMask(MCRMTransform):
    """The transform ``MCRM`` under its former name.

    Args:
        modality_channels: See :class:`MCRMTransform`.
        fill: See :class:`MCRMTransform`.
        prob: Former name of ``ratio``.
        **kwargs: ``area_ratio``, ``aspect_ratio`` and ``whole_ratio``.
    """

    def __init__(
        self,
        modality_channels: Sequence[int],
        fill: Sequence[float],
        prob: float = 0.25,
        **kwargs: Any,
    ) -> None:
        warnings.warn(
            'The transform ModalityRandomMask is now called MCRM: write '
            f"type='MCRM', ratio={prob}.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(modality_channels, fill, ratio=prob, **kwargs)


def modality_slices(modality_channels: Sequence[int]) -> tuple[slice, slice]:
    """Say where the optical and where the auxiliary channels stand in a stack."""
    return slice(0, modality_channels[0]), slice(modality_channels[0], None)


def check_mask(
    modality_channels: Sequence[int],
    ratio: float,
    area_ratio: Interval,
    aspect_ratio: Interval,
    whole_ratio: float = 0.0,
) -> None:
    """Refuse masks that cannot be drawn.

    Args:
        modality_channels: Channels of the optical and of the auxiliary image.
        ratio: Fraction of the samples that are masked by a rectangle.
        area_ratio: Least and greatest fraction of H * W.
        aspect_ratio: Least and greatest height / width.
        whole_ratio: Fraction of the samples that lose one modality wholly.

    Raises:
        ValueError: If there are not two modalities, the ratios are no fractions of one whole, or an
            interval is empty or leaves 0..1 (area) or the positive numbers (aspect).
    """
    if len(modality_channels) != 2 or min(modality_channels) < 1:
        raise ValueError(
            f'MCRM got modality_channels={tuple(modality_channels)}; it masks one of two '
            'modalities: give the channels of the optical and of the auxiliary image.'
        )
    if not 0 <= ratio <= 1:
        raise ValueError(f'MCRM got ratio={ratio}; it is a fraction of the samples: 0 to 1.')
    if not 0 <= whole_ratio <= 1 - ratio:
        raise ValueError(
            f'MCRM got whole_ratio={whole_ratio} beside ratio={ratio}; it is a fraction of the '
            f'samples that no rectangle masks: 0 to {1 - ratio:g}.'
        )
    if not 0 < area_ratio[0] <= area_ratio[1] <= 1:
        raise ValueError(f'Got area_ratio={area_ratio}: give (least, greatest) within 0..1.')
    if not 0 < aspect_ratio[0] <= aspect_ratio[1]:
        raise ValueError(f'Got aspect_ratio={aspect_ratio}: give (least, greatest) above 0.')


def sample_rectangle(
    height: int,
    width: int,
    area_ratio: Interval,
    aspect_ratio: Interval,
    rng: np.random.Generator | np.random.RandomState,
) -> Window:
    """Draw a rectangle inside an image: its area, then its aspect, then its place.

    The area is uniform and exact to the rounding of one side; the aspect is uniform in its
    logarithm, so that tall and wide are equally likely, and gives way where the rectangle would
    not fit; every place is equally likely.

    Args:
        height: Height of the image, pixels.
        width: Width of the image, pixels.
        area_ratio: Least and greatest fraction of H * W.
        aspect_ratio: Least and greatest height / width.
        rng: Source of the random numbers.

    Returns:
        The rectangle.
    """
    area = rng.uniform(*area_ratio) * height * width
    aspect = math.exp(rng.uniform(math.log(aspect_ratio[0]), math.log(aspect_ratio[1])))
    aspect = min(max(aspect, area / width**2), height**2 / area)
    h = min(max(round(math.sqrt(area * aspect)), 1), height)
    w = min(max(round(area / h), 1), width)
    row = int(rng.uniform(0, 1) * (height - h + 1))
    col = int(rng.uniform(0, 1) * (width - w + 1))
    return Window(row, col, h, w)
