"""Filters of a first convolution for images of another number of channels."""

from typing import Literal

import torch
from torch import Tensor


def with_channels(
    filters: Tensor, channels: int, new_channels: Literal['mean', 'zeros'] = 'mean'
) -> Tensor:
    """Give pretrained filters another number of input channels.

    An image of as many channels or more keeps the filters for its first ones; one of fewer keeps
    none of them, for it is no colour image.

    Args:
        filters: (O, I, k, k).
        channels: Input channels that are wanted.
        new_channels: What those that are not kept begin with, the mean over the filters' own or
            zeros.

    Returns:
        (O, channels, k, k).
    """
    kept = filters if channels >= filters.shape[1] else filters[:, :0]
    new = filters.mean(dim=1, keepdim=True)
    if new_channels == 'zeros':
        new = torch.zeros_like(new)
    return torch.cat([kept, new.expand(-1, channels - kept.shape[1], -1, -1)], dim=1)
