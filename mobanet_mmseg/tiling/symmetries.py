"""The eight symmetries of an image grid (the dihedral group d4), their inverses, and averages."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

NUM_SYMMETRIES = 8
SYMMETRIES = {'flips': (0, 2, 4, 6), 'd4': tuple(range(NUM_SYMMETRIES))}


def apply_symmetry(x: Tensor, k: int) -> Tensor:
    """Turn an image by ``k % 4`` quarters anticlockwise, then mirror it left-right if ``k >= 4``.

    0 changes nothing, 4 swaps left and right, 6 top and bottom, 2 both.

    Args:
        x: (..., H, W).
        k: Which symmetry, 0 to 7.

    Returns:
        (..., H, W), or (..., W, H) where :func:`swaps_sides` says so.

    Raises:
        ValueError: If there is no such symmetry.
    """
    _check(k)
    turned = torch.rot90(x, k % 4, (-2, -1))
    return turned.flip(-1) if k >= 4 else turned


def undo_symmetry(x: Tensor, k: int) -> Tensor:
    """Bring what :func:`apply_symmetry` gave back to where it was.

    Args:
        x: (..., H, W), turned.
        k: Which symmetry is undone, 0 to 7.

    Raises:
        ValueError: If there is no such symmetry.
    """
    _check(k)
    turned = x.flip(-1) if k >= 4 else x
    return torch.rot90(turned, -k % 4, (-2, -1))


def swaps_sides(k: int) -> bool:
    """Say whether a symmetry makes H of W and W of H.

    Args:
        k: Which symmetry, 0 to 7.
    """
    _check(k)
    return k % 2 == 1


def average_over(
    network: Callable[[Tensor], Tensor], symmetries: Sequence[int]
) -> Callable[[Tensor], Tensor]:
    """Make a network that averages the logits of another one over turned and mirrored inputs.

    One symmetry runs after the other, so that memory holds the sum and one output.

    Args:
        network: From (B, C, H, W) to (B, K, H, W), any H and W.
        symmetries: Which ones, 0 to 7 each: ``SYMMETRIES['d4']``, ``SYMMETRIES['flips']`` ...

    Returns:
        A network of the same shapes; its logits are float32.

    Raises:
        ValueError: If there is no symmetry, or no such one.
    """
    chosen = choose_symmetries(symmetries)

    def averaged(x: Tensor) -> Tensor:
        share = 1 / len(chosen)
        total = None
        for k in chosen:
            logits = undo_symmetry(network(apply_symmetry(x, k)), k).float()
            total = logits * share if total is None else total.add_(logits, alpha=share)
        return total

    return averaged


def choose_symmetries(symmetries: str | Sequence[int]) -> tuple[int, ...]:
    """Read which symmetries are meant.

    Args:
        symmetries: ``'flips'`` (four), ``'d4'`` (all eight), or numbers, 0 to 7 each.

    Raises:
        ValueError: If there is none, one twice, or one that does not exist.
    """
    chosen = SYMMETRIES.get(symmetries, ()) if isinstance(symmetries, str) else tuple(symmetries)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"symmetries={symmetries!r} names none, or one twice: give 'flips', 'd4' or "
            'different numbers, 0 to 7 each.'
        )
    for k in chosen:
        _check(k)
    return chosen


def _check(k: int) -> None:
    if k not in range(NUM_SYMMETRIES):
        raise ValueError(f'There is no symmetry {k!r} of an image: the eight are 0 to 7.')
