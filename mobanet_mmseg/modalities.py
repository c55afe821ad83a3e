"""What a stacked sample is: the optical channels first, then the auxiliary ones, in one array.

Training, tests and prediction all scale and stack through these functions, so that a window of a
raster is the same numbers wherever it is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

AUX_KINDS = ('height', 'sar', 'bands')  # what an auxiliary raster holds: metres, decibels, others

Limit = float | tuple[float, ...]  # of all channels, or one per channel


class Scaling(NamedTuple):
    """Which values of one auxiliary raster become 0 and 1.

    Args:
        low: Value that becomes 0, in the raster's unit; one number, or one per band.
        high: Value that becomes 1, likewise.
        clip: Whether values below ``low`` become 0 and those above ``high`` 1, too.
    """

    low: Limit
    high: Limit
    clip: bool = False


@dataclass(frozen=True)
class AuxRange:
    """How auxiliary rasters are scaled, as a config says it; see :meth:`parse`.

    Args:
        kind: ``'tile'`` by each raster's own least and greatest value, ``'percentile'`` by its own
            percentiles, beyond which values are clipped, ``'fixed'`` all alike, ``'none'`` not.
        percentages: Of ``'percentile'``: the low and the high one, 0 to 100.
        scaling: Of ``'fixed'``.
        optional: Whether a band may hold no value to scale, as if its raster were missing.
    """

    kind: Literal['tile', 'percentile', 'fixed', 'none']
    percentages: tuple[float, float] | None = None
    scaling: Scaling | None = None
    optional: bool = False

    @classmethod
    def parse(cls, value: Any, optional: bool = False) -> 'AuxRange':
        """Read what a config or a user gives.

        Args:
            value: ``'tile'``, ``('percentile', 1, 99)``, ``(low, high)`` or ``(low, high, clip)``
                in the unit of the auxiliary raster, each limit one number or one per band, None
                for values as they are, or an ``AuxRange``.
            optional: Whether a band may hold no value to scale; an ``AuxRange`` may say so, too.

        Raises:
            ValueError: If it is none of these.
        """
        if isinstance(value, cls):
            return replace(value, optional=optional or value.optional)
        if value is None:
            return cls('none')
        if value == 'tile':
            return cls('tile', optional=optional)
        if isinstance(value, Sequence) and not isinstance(value, str) and len(value) in (2, 3):
            if value[0] == 'percentile':
                return cls('percentile', percentages=_percentages(value), optional=optional)
            if _is_interval(value):
                low, high, *clip = value
                return cls('fixed', scaling=Scaling(_limit(low), _limit(high), *clip))
        raise ValueError(
            f"Got aux_range={value!r}: give 'tile', a pair (low, high) of finite numbers in the "
            "unit of the auxiliary raster, ('percentile', 1, 99), or None."
        )


@dataclass(frozen=True)
class StackSpec:
    """What of two rasters makes a stacked sample.

    Args:
        img_bands: Bands of the optical raster, counted from 1, in the order of the channels.
        aux_bands: Bands of the auxiliary raster, likewise; none for the optical image alone.
        aux_range: How the auxiliary raster is scaled.
        img_sources: The same bands of the rasters that the tiles were cut from, which are read of
            what is no tile; None for the same numbers.
        aux_sources: Likewise of the auxiliary ones.
        aux_fill: What auxiliary channels are where there are no data; see :func:`read_fill`.
    """

    img_bands: tuple[int, ...] = (1, 2, 3)
    aux_bands: tuple[int, ...] = (1,)
    aux_range: AuxRange = AuxRange('tile')
    img_sources: tuple[int, ...] | None = None
    aux_sources: tuple[int, ...] | None = None
    aux_fill: Limit = 0.0

    @property
    def modality_channels(self) -> tuple[int, int]:
        """Optical and auxiliary channels."""
        return len(self.img_bands), len(self.aux_bands)

    @property
    def num_channels(self) -> int:
        """Channels C of a stacked sample."""
        return sum(self.modality_channels)


def scale_aux(
    aux: np.ndarray,
    low: float | Sequence[float],
    high: float | Sequence[float],
    clip: bool = False,
    fill: Limit = 0.0,
) -> np.ndarray:
    """Scale an auxiliary image so that ``low`` becomes 0 and ``high`` becomes 1.

    Args:
        aux: (H, W, C) values in any unit, for example metres.
        low: Value that becomes 0, in the unit of ``aux``; one number, or one per channel.
        high: Value that becomes 1, likewise.
        clip: Whether values below ``low`` become 0 and those above ``high`` 1, too.
        fill: What becomes of values that are not finite; one number, or one per channel.

    Returns:
        (H, W, C) float32.

    Raises:
        ValueError: If ``high`` is not above ``low``, or their number does not fit the channels.
    """
    dtype = np.result_type(aux.dtype, np.float32)  # float64 keeps large integers apart
    low, high = np.asarray(low, dtype), np.asarray(high, dtype)
    channels = aux.shape[-1]
    if any(limit.ndim and limit.shape != (channels,) for limit in (low, high)):
        raise ValueError(
            f'The auxiliary image has {channels} channels, but the range ({low}, {high}) has '
            f'another number: give one number, or {channels} of them.'
        )
    if not np.all(low < high):
        raise ValueError(f'The range ({low}, {high}) is empty: give a low below its high.')
    scaled = (aux.astype(dtype, copy=False) - low) / (high - low)
    if clip:
        scaled = scaled.clip(0, 1)
    return _finite(scaled, fill).astype(np.float32, copy=False)


def read_fill(fill: Any, channels: int) -> Limit:
    """Read what a config says of auxiliary channels where there are no data.

    Args:
        fill: A value as the scaling gives them, 0..1 as a rule; one number, or one per channel.
            The mean that the model subtracts makes no data what a masked modality is: 0.
        channels: Number of auxiliary channels.

    Raises:
        ValueError: If it is no finite number, or has another number of channels.
    """
    if not channels:
        return 0.0
    if not _are_numbers(fill) or np.shape(fill) not in ((), (channels,)):
        raise ValueError(
            f'Got aux_fill={fill!r} for {channels} auxiliary channels: give a finite number, or '
            'one per channel.'
        )
    return _limit(fill)


def stack_modalities(img: np.ndarray, aux: np.ndarray, aux_fill: Limit = 0.0) -> np.ndarray:
    """Stack an optical and an auxiliary image.

    What is not a finite number becomes 0 in the optical channels.

    Args:
        img: (H, W, C1) optical image, R G B as 0..255.
        aux: (H, W, C2) auxiliary image, scaled.
        aux_fill: What it becomes in the auxiliary channels; one number, or one per channel.

    Returns:
        (H, W, C1 + C2) float32, C-contiguous.

    Raises:
        ValueError: If the two differ in height or width.
    """
    if img.shape[:2] != aux.shape[:2]:
        raise ValueError(
            f'The optical image is {img.shape[0]} x {img.shape[1]} pixels and the auxiliary one '
            f'{aux.shape[0]} x {aux.shape[1]}: stack images of one size.'
        )
    channels = img.shape[2]
    stacked = np.empty((*img.shape[:2], channels + aux.shape[2]), np.float32)
    stacked[..., :channels] = _finite(img)
    stacked[..., channels:] = _finite(aux, aux_fill)
    return stacked


def _finite(values: np.ndarray, fill: Limit = 0.0) -> np.ndarray:
    """The same values with another where they are not finite; integers pass as they are."""
    if not np.issubdtype(values.dtype, np.floating):
        return values
    return np.where(np.isfinite(values), values, np.asarray(fill, values.dtype))


def _percentages(value: Sequence[Any]) -> tuple[float, float]:
    numbers = len(value) == 3 and _are_numbers(*value[1:]) and not np.ndim(value[1:]) > 1
    if not numbers or not 0 <= value[1] < value[2] <= 100:
        raise ValueError(
            f'Got aux_range={tuple(value)!r}: give two percentages of 0..100, the lesser '
            "first: ('percentile', 1, 99)."
        )
    return value[1], value[2]


def _is_interval(value: Sequence[Any]) -> bool:
    """Whether a value is (low, high) or (low, high, clip), low below high and both finite."""
    if (len(value) == 3 and not isinstance(value[2], bool)) or not _are_numbers(*value[:2]):
        return False
    low, high = map(np.asarray, value[:2])
    return max(low.ndim, high.ndim) < 2 and bool(np.all(low < high))


def _are_numbers(*values: Any) -> bool:
    """Whether values are finite real numbers, or lists of them that fit each other."""
    try:
        numbers = np.asarray(np.broadcast_arrays(*values))
    except ValueError:  # of several lengths
        return False
    return numbers.dtype.kind in 'iuf' and bool(np.isfinite(numbers).all())


def _limit(value: Any) -> Limit:
    return tuple(map(float, value)) if np.ndim(value) else value
