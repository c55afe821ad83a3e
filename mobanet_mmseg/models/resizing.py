"""Position embeddings of one grid resized to another, also where an exporter writes down how."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_positions(
    table: Tensor,
    size: Sequence[int],
    mode: str = 'bicubic',
    offset: float = 0.0,
    antialias: bool = False,
) -> Tensor:
    """Resize a table of positions as ``F.interpolate`` does.

    While a network is traced for ONNX, whose sizes stay open, it is multiplied by one matrix an
    axis, which are made of the sizes.

    Args:
        table: (1, C, h, w), or (1, C, L).
        size: What h and w, or L, become.
        mode: ``'bicubic'``, or ``'linear'`` for one axis.
        offset: What is added to a new size before the scale is computed of it.
        antialias: Whether to average over what a smaller grid skips.

    Returns:
        A table of the size: as it came where it has that already, else float32.
    """
    old = table.shape[2:]
    if not torch.jit.is_tracing() and tuple(old) == tuple(size):
        return table
    table = table.float()
    if torch.jit.is_tracing():
        new = torch.stack([torch.as_tensor(side) for side in size])
        sides = torch.tensor([int(side) for side in old])
        scales = sides / (new + offset * (new != sides).any().float())
        for axis in range(len(old)):
            weights = matrix_of(sides[axis], new[axis], scales[axis], mode, antialias)
            table = (table.transpose(2 + axis, -1) @ weights.T).transpose(2 + axis, -1)
        return table
    if offset:
        scales = [(b + offset) / a for a, b in zip(old, size, strict=True)]
        return F.interpolate(table, scale_factor=scales, mode=mode)
    return F.interpolate(table, size=tuple(size), mode=mode, antialias=antialias)


def matrix_of(old: Tensor, new: Tensor, scale: Tensor, mode: str, antialias: bool) -> Tensor:
    """Weigh the old places along one axis for each new one.

    Args:
        old: Places before, a whole number.
        new: Places after, likewise.
        scale: Old places to a new one.
        mode: See :func:`resize_positions`.
        antialias: Likewise.

    Returns:
        (new, old), whose rows sum to 1.
    """
    centres = (torch.arange(new).float() + 0.5) * scale - 0.5
    places = torch.arange(old).float()
    if antialias:
        weights = cubic((places - centres[:, None]) / scale.clamp(min=1), sharpness=-0.5)
        return weights / weights.sum(dim=1, keepdim=True)
    if mode == 'linear':
        centres = centres.clamp(min=0)
    taps = centres.floor()[:, None] + torch.arange(-1, 3).float()  # (new, 4)
    steps = centres[:, None] - taps
    weights = (1 - steps.abs()).clamp(min=0) if mode == 'linear' else cubic(steps, sharpness=-0.75)
    beyond = taps.clamp(min=0).minimum(old - 1)  # what lies outside is as the border
    return ((beyond[..., None] == places).float() * weights[..., None]).sum(dim=1)


def cubic(steps: Tensor, sharpness: float) -> Tensor:
    """Weigh by Keys' kernel.

    Args:
        steps: Distances from the centre, in places.
        sharpness: Its parameter a; torch's is -0.75, and -0.5 where it antialiases.
    """
    a, x = sharpness, steps.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def pooling_matrix(old: Tensor, new: int) -> Tensor:
    """Weigh places along one axis as adaptive average pooling does.

    Args:
        old: Places before, a whole number.
        new: Places after.

    Returns:
        (new, old), whose rows sum to 1.
    """
    ordinals, places = torch.arange(new), torch.arange(old)
    first = (ordinals * old).div(new, rounding_mode='floor')
    end = ((ordinals + 1) * old + new - 1).div(new, rounding_mode='floor')
    inside = (places >= first[:, None]) & (places < end[:, None])
    return inside.float() / (end - first)[:, None].float()
