"""Degradations of one modality by a level: masks, noise, blur, shift, resolution."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobanet_mmseg.models.mcrm import modality_slices
from mobanet_mmseg.models.tiled import segmentor_of

UNITS = {
    'mask': 'share of the area',
    'noise': 'standard deviation, in those of the image',
    'blur': 'standard deviation, pixels',
    'shift': 'pixels',
    'resolution': 'times the side of a pixel',
}
UNDEGRADED = {'mask': 0.0, 'noise': 0.0, 'blur': 0.0, 'shift': 0.0, 'resolution': 1.0}
MODALITIES = ('rgb', 'aux')
BLOCK = 64  # pixels
DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # right, down, left, up


@dataclass(frozen=True)
class Degradation:
    """What becomes of one modality.

    ======================  ================================================================
    ``mask``                square blocks, drawn at random, become the mean of the training
                            images (0 after normalisation), as MCRM's rectangles do
    ``noise``               Gaussian noise, independent in each pixel and channel
    ``blur``                Gaussian blur
    ``shift``               misregistration to the right, down, left or up, as drawn for the
                            image; its edge is repeated
    ``resolution``          the mean of larger pixels, brought back by bilinear interpolation
    ======================  ================================================================

    What is drawn for an image follows from its name and a seed alone: a larger level masks the same
    blocks and more, and scales the same noise.

    Args:
        kind: One of these.
        modality: ``'rgb'`` or ``'aux'``.
        level: How much, in the unit of :data:`UNITS`.

    Raises:
        ValueError: If there is no such kind or modality, or the level does not fit the kind.
    """

    kind: str
    modality: str
    level: float

    def __post_init__(self) -> None:
        """Refuse what is no degradation."""
        if self.kind not in UNITS:
            raise ValueError(f'Got kind={self.kind!r}: give one of {", ".join(UNITS)}.')
        if self.modality not in MODALITIES:
            raise ValueError(f"Got modality={self.modality!r}: give 'rgb' or 'aux'.")
        least, most = UNDEGRADED[self.kind], 1 if self.kind == 'mask' else np.inf
        if not least <= self.level <= most or self.level == np.inf:
            limits = f'of {least:g} to {most:g}' if most == 1 else f'from {least:g} on'
            raise ValueError(
                f'{self.kind} got the level {self.level:g}; it is a number {limits} '
                f'({UNITS[self.kind]}).'
            )
        if self.kind == 'shift' and self.level % 1:
            raise ValueError(f'shift got the level {self.level:g}; it is whole pixels.')

    def __call__(self, image: Tensor, fill: Tensor, seed: int, block: int = BLOCK) -> Tensor:
        """Degrade a copy of the channels of one modality.

        Args:
            image: (C, H, W) float32, not normalised.
            fill: (C, 1, 1) what is masked becomes.
            seed: What is drawn follows from it.
            block: Side of the masked blocks, pixels.
        """
        if self.kind == 'mask':
            masked = mask_blocks(image.shape[-2:], self.level, seed, block)
            return torch.where(masked, fill, image)
        if self.kind == 'noise':
            rng = torch.Generator().manual_seed(seed)
            spread = image.std(dim=(1, 2), correction=0, keepdim=True)
            return image + self.level * spread * torch.randn(image.shape, generator=rng)
        if self.kind == 'blur':
            return blur(image, self.level)
        if self.kind == 'shift':
            down, right = DIRECTIONS[np.random.default_rng(seed).integers(len(DIRECTIONS))]
            return shift(image, down * int(self.level), right * int(self.level))
        return coarsen(image, self.level)


def mask_blocks(size: Sequence[int], share: float, seed: int, block: int) -> Tensor:
    """Draw the blocks of an image that are masked.

    Args:
        size: Height and width of the image, pixels.
        share: Of the area, which the blocks come as near to as whole ones can.
        seed: The order in which blocks are masked follows from it.
        block: Side of a block, pixels; those at the bottom and on the right may be smaller.

    Returns:
        (H, W) bool.
    """
    height, width = size
    rows, cols = (np.arange(side) // block for side in size)
    numbers = rows[:, None] * (cols[-1] + 1) + cols
    areas = np.bincount(numbers.ravel())
    order = np.random.default_rng(seed).permutation(len(areas))
    covered = np.concatenate([[0], np.cumsum(areas[order])])
    count = np.abs(covered - share * height * width).argmin()
    masked = np.zeros(len(areas), bool)
    masked[order[:count]] = True
    return torch.from_numpy(masked[numbers])


def blur(image: Tensor, sigma: float) -> Tensor:
    """Blur by a Gaussian; the image goes on beyond its edge as it is there.

    Args:
        image: (C, H, W) float32.
        sigma: Standard deviation, pixels; 0 changes nothing.
    """
    if not sigma:
        return image
    channels = [
        cv2.GaussianBlur(channel, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        for channel in image.numpy()
    ]
    return torch.from_numpy(np.stack(channels))


def shift(image: Tensor, down: int, right: int) -> Tensor:
    """Move an image within its frame; its edge is repeated where nothing comes in.

    Args:
        image: (C, H, W).
        down: Pixels down, or up where it is negative.
        right: Pixels to the right, or to the left.
    """
    height, width = image.shape[-2:]
    rows = (torch.arange(height) - down).clamp(0, height - 1)
    cols = (torch.arange(width) - right).clamp(0, width - 1)
    return image[:, rows][:, :, cols]


def coarsen(image: Tensor, factor: float) -> Tensor:
    """Take the resolution of larger pixels, on the grid as it is.

    Args:
        image: (C, H, W) float32.
        factor: Side of a larger pixel, in pixels; 1 changes nothing.
    """
    size = image.shape[-2:]
    coarse = [max(1, round(side / factor)) for side in size]
    small = functional.interpolate(image[None], coarse, mode='area')
    return functional.interpolate(small, size, mode='bilinear', align_corners=False)[0]


class Degrader:
    """Degrades the images that a data preprocessor gets, before it normalises them.

    Args:
        modality_channels: Channels of the optical and of the auxiliary image.
        seed: What is drawn follows from it, and from the images' names.
        block: Side of the masked blocks, pixels.

    Attributes:
        degradation: What is done to the next images; None leaves them as they are.
    """

    def __init__(self, modality_channels: Sequence[int], seed: int = 0, block: int = BLOCK) -> None:
        self.channels = dict(zip(MODALITIES, modality_slices(modality_channels), strict=True))
        self.seed, self.block = seed, block
        self.degradation: Degradation | None = None

    def __call__(self, preprocessor: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """Degrade copies; torch calls it before a data preprocessor.

        Args:
            preprocessor: Its mean is what is masked.
            given: Its arguments: ``inputs``, a list of (C, H, W) tensors, and ``data_samples``,
                in a dict.
        """
        if self.degradation is None:
            return given
        data, *others = given
        mean = dict(preprocessor.named_buffers()).get('mean')
        images = [
            self._degrade(image, sample.get('img_path'), mean)
            for image, sample in zip(data['inputs'], data['data_samples'], strict=True)
        ]
        return ({**data, 'inputs': images}, *others)

    def _degrade(self, image: Tensor, path: str | None, mean: Tensor | None) -> Tensor:
        image = image.cpu().float()
        mean = torch.zeros(len(image), 1, 1) if mean is None else mean.cpu().view(-1, 1, 1)
        channels = self.channels[self.degradation.modality]
        seed = zlib.crc32(f'{self.seed} {Path(path or "").stem}'.encode())
        degraded = image.clone()
        degraded[channels] = self.degradation(image[channels], mean[channels], seed, self.block)
        return degraded


def install_degrader(model: nn.Module, degrader: Degrader) -> None:
    """Let a built model see its images degraded from now on.

    Args:
        model: A segmentor, or a runner's model.
        degrader: Says how.
    """
    segmentor_of(model).data_preprocessor.register_forward_pre_hook(degrader)
