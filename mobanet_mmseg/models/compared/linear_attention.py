"""Attention whose cost grows with the pixels, not with their square: between pixels, and channels.

The similarity of two pixels is taken as ``1 + q . k`` of normalised queries and keys (the first
order of the exponential), so that the sum over all keys is formed once and not per query.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-6  # the public implementations' own, added to the sum of the keys


class LinearAttention(nn.Module):
    r"""Linear attention between the pixels of a map, scaled by a learned :math:`\gamma`.

    .. math::
        A(x)_n = \gamma \frac{\sum_m (1 + q_n \cdot k_m)\, v_m}{\sum_m (1 + q_n \cdot k_m)}

    with q and k of unit length. Gamma starts at 0, so that a residual starts as the identity; what
    it is added to is the caller's affair.

    Source: Linear Attention Mechanism (arXiv:2007.14902), as ABCNet, DC-Swin and MAResU-Net use it.

    Args:
        channels: Channels C of the map and of its values.
        reduction: Queries and keys have ``C // reduction`` channels.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // reduction, 1)
        self.key = nn.Conv2d(channels, channels // reduction, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Attend within a (B, C, h, w) map; the result has its shape."""
        query = F.normalize(self.query(inputs).flatten(2), dim=1)  # (B, c, N)
        key = F.normalize(self.key(inputs).flatten(2), dim=1)
        value = self.value(inputs).flatten(2)  # (B, C, N)
        matched = (value @ key.transpose(1, 2)) @ query  # (B, C, N)
        keys = key.sum(dim=2, keepdim=True) + EPSILON
        weights = query.shape[2] + (keys * query).sum(dim=1, keepdim=True)  # (B, 1, N)
        # a query opposite to every key weighs none: 0 and not 0 / 0
        attended = (value.sum(dim=2, keepdim=True) + matched) / weights.clamp(min=EPSILON)
        return self.gamma * attended.unflatten(2, inputs.shape[2:])


class LinearChannelAttention(nn.Module):
    r"""Linear attention between the channels of a map, scaled by a learned :math:`\gamma`.

    The map itself is query, key and value, the first two of unit length at each pixel; channels
    take the place of pixels:

    .. math::
        A(x)_{c n} = \gamma \frac{\sum_d x_{d n} + \sum_d (\sum_m x_{c m} k_{d m})\, q_{d n}}
                                 {N + \sum_m k_{c m} \sum_d q_{d m}}

    Source: DC-Swin (arXiv:2104.12137), as its public implementation computes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Attend between the channels of a (B, C, h, w) map; the result has its shape."""
        value = inputs.flatten(2)  # (B, C, N)
        query = key = F.normalize(value, dim=1)
        matched = (value @ key.transpose(1, 2)) @ query  # (B, C, N)
        queries = query.sum(dim=1, keepdim=True) + EPSILON  # (B, 1, N)
        weights = value.shape[2] + (key * queries).sum(dim=2, keepdim=True)  # (B, C, 1)
        attended = (value.sum(dim=1, keepdim=True) + matched) / weights
        return self.gamma * attended.unflatten(2, inputs.shape[2:])
