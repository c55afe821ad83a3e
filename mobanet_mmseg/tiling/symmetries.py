"""The eight symmetries of an image grid (the dihedral group d4), their inverses, and averages."""

from collections.abc import Callable

import torch
from torch import Tensor

Network = Callable[[Tensor], Tensor]

SYMMETRIES = {'flips': (0, 2, 4, 6), 'd4': tuple(range(8))}


def apply_symmetry(x: Tensor, k: int) -> Tensor:
    """Turn an image by ``k % 4`` quarters anticlockwise, then mirror it left-right if ``k >= 4``.

    0 changes nothing, 4 swaps left and right, 6 top and bottom, 2 both.

    Args:
        x: (..., H, W).
        k: Which symmetry, 0 to 7.

    Returns:
        (..., H, W), or (..., W, H) where ``k`` is odd.
    """
    turned = torch.rot90(x, k % 4, (-2, -1))
    return turned.flip(-1) if k >= 4 else turned


def undo_symmetry(x: Tensor, k: int) -> Tensor:
    """Bring what :func:`apply_symmetry` gave back to where it was.

    Args:
        x: (..., H, W), turned.
        k: Which symmetry is undone, 0 to 7.
    """
    turned = x.flip(-1) if k >= 4 else x
    return torch.rot90(turned, -k % 4, (-2, -1))


def average_over(
    network: Callable[[Tensor], Tensor], tta: str | None
) -> Callable[[Tensor], Tensor]:
    """Make a network that averages the logits of another one over turned and mirrored inputs.

    One symmetry runs after the other, so that memory holds the sum and one output.

    Args:
        network: From (B, C, H, W) to (B, K, H, W), any H and W.
        tta: ``'flips'`` (as it is, mirrored left-right, top-bottom, both), ``'d4'`` (the same four,
            and turned by a quarter), or None for the network itself.

    Returns:
        A network of the same shapes; averaged logits are float32.

    Raises:
        ValueError: If ``tta`` is none of the three.
    """
    check_tta(tta)
    if tta is None:
        return network
    share = 1 / len(SYMMETRIES[tta])

    def averaged(x: Tensor) -> Tensor:
        total = None
        for k in SYMMETRIES[tta]:
            logits = undo_symmetry(network(apply_symmetry(x, k)), k).float()
            total = logits * share if total is None else total.add_(logits, alpha=share)
        return total

    return averaged


def check_tta(tta: str | None) -> None:
    """Refuse a test-time augmentation that does not exist.

    Args:
        tta: As :func:`average_over` takes it.

    Raises:
        ValueError: If it is none of the three.
    """
    if tta is not None and tta not in SYMMETRIES:
        raise ValueError(f"tta={tta!r}; it is 'flips' (4 views), 'd4' (8 views) or None.")
