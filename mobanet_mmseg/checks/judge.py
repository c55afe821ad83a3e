"""Judges what was measured of a tile: what will hurt a training, and what to look at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mobanet_mmseg.checks.measure import Gap, TileReport
from mobanet_mmseg.checks.registration import Fit, Shift
from mobanet_mmseg.modalities import Scaling

HURTS, LOOK = 'hurts', 'look at it'

UNKNOWN_HURTS = 0.01  # share of the pixels whose value or colour is of no class
NODATA_LOOK, NODATA_HURTS = 0.1, 0.5  # share of the pixels without data
GAP_LOOK = 0.5  # of 0..1 without any value between outliers and the rest
ABSURD = 9000  # in any unit of heights: the values that mean 'no data' are -9999, -32768, 1e20 ...
BULK_LEVELS = 3  # of 256 that a landscape takes at least
FEW = 0.01  # share of the values that clipping at percentiles takes away
FIXED_LOOK = 0.02  # what 98 % take of a range: a flat tile may take little
OUTSIDE_LOOK, OUTSIDE_HURTS = 0.02, 0.5  # share of the values beyond a fixed range
ABSENT_LOOK = 0.01  # share of the pixels without auxiliary data
ABSENT_FAR = 0.1  # standard deviations of the config between what stands there and a mask
SHIFT_LOOK = {'auxiliary': 1, 'label': 2}  # pixels; hands do not draw labels more exactly
SHIFT_HURTS = 3  # pixels; less is what leaning houses and shadows can do
LIKENESS_HURTS = 0.99  # correlation of the two modalities
FAR = 6.0  # standard deviations of the config between a channel's mean and the config's
FLAT_LOOK, FLAT_HURTS = 0.1, 0.02  # a channel's standard deviation by the config's

Level = Literal['hurts', 'look at it']


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or strange.

    Args:
        level: ``'hurts'``: a training on it is worse than without; ``'look at it'``: it may be
            right, which only a person can say.
        split: Name of the split.
        tile: Path of the tile's optical raster; empty for the whole split.
        text: What was found, what it does and what to do.
    """

    level: Level
    split: str
    tile: str
    text: str


def judge_tile(
    report: TileReport,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    window: tuple[int, int] | None,
) -> Iterator[tuple[Level, str]]:
    """Judge one tile.

    Args:
        report: What was measured of it.
        mean: Means that the config subtracts of the stacked channels, None if it does not say.
        std: Standard deviations that it divides by, likewise.
        window: Height and width of the windows that training draws, pixels, None for whole tiles.

    Returns:
        Level and text of each finding.
    """
    yield from _judge_size(report, window)
    yield from _judge_optical(report, mean, std)
    yield from _judge_aux(report)
    yield from _judge_absence(report, mean, std)
    yield from _judge_labels(report)
    yield from _judge_registration(report)


def _judge_size(report: TileReport, window: tuple[int, int] | None) -> Iterator[tuple[Level, str]]:
    height, width = report.optical.height, report.optical.width
    if window is not None and (height < window[0] or width < window[1]):
        yield (
            HURTS,
            f'it has {height} x {width} pixels, fewer than the window of {window[0]} x '
            f'{window[1]}: give a smaller window_size, or leave it out of the split',
        )


def _judge_optical(
    report: TileReport, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Iterator[tuple[Level, str]]:
    yield from _judge_nodata('optical', report.optical.nodata)
    if mean is None or std is None:
        return
    for band, (own, spread) in enumerate(zip(report.mean, report.std, strict=True)):
        center, unit = mean[band], std[band]
        far, contrast = abs(own - center) / unit, spread / unit
        if far > FAR:
            yield (
                HURTS,
                f'optical channel {band + 1} ({report.optical.dtype}) has mean {own:.4g} where the '
                f'data_preprocessor expects {center:.4g} +- {unit:.4g}: convert the raster to that '
                'unit, or measure mean and std anew',
            )
        elif contrast < FLAT_LOOK:
            yield (
                HURTS if contrast < FLAT_HURTS else LOOK,
                f'optical channel {band + 1} ({report.optical.dtype}) is nearly constant: its '
                f'standard deviation is {spread:.3g} where the data_preprocessor expects '
                f'{unit:.4g}, as in a blank image, another unit or an alpha band: look at the '
                'picture, or measure mean and std anew',
            )


def _judge_aux(report: TileReport) -> Iterator[tuple[Level, str]]:
    if report.aux is None:
        return
    yield from _judge_nodata('auxiliary', report.aux.nodata)
    scaling = None if report.aux_range is None else Scaling(*report.aux_range)
    if scaling is not None:
        yield from _judge_range(report, scaling)
    if report.outside > OUTSIDE_LOOK and not scaling.clip:
        yield (
            HURTS if report.outside > OUTSIDE_HURTS else LOOK,
            f'{report.outside:.1%} of the auxiliary values lie outside of aux_range='
            f'{report.aux_range}: widen it, or correct its unit',
        )
    if report.likeness > LIKENESS_HURTS:
        yield (
            HURTS,
            f'the auxiliary raster is a copy of an optical channel (correlation '
            f'{report.likeness:.3f}): give the right file or aux_bands',
        )


def _judge_absence(
    report: TileReport, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Iterator[tuple[Level, str]]:
    """Whether pixels without auxiliary data are to the network what MCRM's masks are: 0."""
    share = 1.0 if report.aux is None else report.aux.nodata
    channels = len(report.mean) + len(report.aux_fill)
    if mean is None or std is None or len(mean) != channels or share < ABSENT_LOOK:
        return
    center, unit = (values[len(report.mean) :] for values in (mean, std))
    seen = [(f - m) / s for f, m, s in zip(report.aux_fill, center, unit, strict=True)]
    if max(map(abs, seen), default=0) > ABSENT_FAR:
        wanted = center[0] if len(center) == 1 else tuple(center)
        yield (
            LOOK,
            f'{share:.1%} of it have no auxiliary data, and {", ".join(f"{v:.3g}" for v in seen)} '
            'in their place after the normalisation, where a masked modality is 0: give the '
            f'dataset aux_fill={wanted}, the mean, so that both are one to the network',
        )


def _judge_range(report: TileReport, scaling: Scaling) -> Iterator[tuple[Level, str]]:
    """What scaling does to the values of each auxiliary channel.

    Values are outliers if nothing lies between them and the rest. A long tail without a gap is
    none: above ground most of a tile may be 0, and its few trees and houses are what is looked at.
    """
    channels = len(report.percentiles)
    least, greatest = (np.broadcast_to(limit, channels) for limit in scaling[:2])
    for band, (share, values) in enumerate(zip(report.filled, report.percentiles, strict=True)):
        if None in values:  # no value in the whole band
            continue
        low, p1, *_, p99, high = values
        most = f'98 % of auxiliary channel {band + 1} lie within {p1:.6g}..{p99:.6g}'
        taken = f'{share:.2%} of 0..1'
        gap, unit = report.gaps[band], greatest[band] - least[band]
        own = np.allclose((low, high), (least[band], greatest[band]), rtol=1e-6, atol=0)
        if not scaling.clip and not own:  # a range for all tiles
            if share < FIXED_LOOK and report.outside <= OUTSIDE_LOOK:
                yield (
                    LOOK,
                    f'{most} and take {taken} of what the network gets: choose an aux_range closer '
                    'to the values',
                )
        elif gap.high - gap.low > GAP_LOOK and (level := _outliers(gap, values)) is not None:
            below, above = (least[band] + edge * unit for edge in (gap.low, gap.high))
            there = f'{gap.beyond:.2%} of auxiliary channel {band + 1} lie beyond a gap from '
            there += f'{below:.6g} to {above:.6g}, of {low:.6g}..{high:.6g} in all'
            if gap.beyond < FEW:
                yield (
                    level,
                    f'{there}: {most}, and in what the network gets they take {taken}; clip the '
                    "outliers with aux_range=('percentile', 1, 99), or set a fixed range",
                )
            else:
                yield (
                    level,
                    f"{there}, as where the file does not say which value means 'no data': state "
                    'it in the file (gdal_edit.py -a_nodata VALUE FILE), or set a fixed aux_range',
                )
        elif p1 < p99 and share < FIXED_LOOK:
            yield (
                LOOK,
                f'{most}, the rest reaches to {low:.6g}..{high:.6g}: in what the network gets they '
                f"take {taken}; see whether aux_range=('percentile', 1, 99), a fixed range or "
                'decibels tell them apart',
            )


def _outliers(gap: Gap, values: Sequence[float]) -> Level | None:
    """How certain it is that values beyond a gap are no heights; None for two values alone."""
    low, *_, high = values
    if max(abs(low), abs(high)) >= ABSURD or (gap.below and gap.levels >= BULK_LEVELS):
        return HURTS  # nothing real lies in a hole that is deeper than the rest is high
    return None if gap.levels == 1 else LOOK  # a mask, or flat roofs on flat ground


def _judge_nodata(name: str, share: float) -> Iterator[tuple[Level, str]]:
    if share > NODATA_LOOK:
        level = HURTS if share > NODATA_HURTS else LOOK
        yield (
            level,
            f'{share:.1%} of the {name} raster hold no data, which the network cannot tell from '
            'values: leave the tile out, cut it, or fill the gaps',
        )


def _judge_labels(report: TileReport) -> Iterator[tuple[Level, str]]:
    if report.label is None:
        return
    kind = 'colour' if report.label.bands == 3 else 'value'
    if report.unknown > 0:
        yield (
            HURTS if report.unknown > UNKNOWN_HURTS else LOOK,
            f'{report.unknown:.3%} of {report.label.path} have a {kind} that belongs to no class '
            'and are ignored: correct the palette, label_values or label_ignore, or the file',
        )
    if sum(report.counts) == 0:
        yield (
            HURTS,
            f'{report.label.path} holds no pixel of any class: give the right file, or leave the '
            'tile out of the split',
        )


def _judge_registration(report: TileReport) -> Iterator[tuple[Level, str]]:
    crs = report.optical.crs
    for name, other in (('auxiliary', report.aux), ('label', report.label)):
        if other is not None and (other.crs == 'no CRS') != (crs == 'no CRS'):
            yield (
                LOOK,
                f'the optical raster has {crs}, the {name} raster {other.crs}: nothing but their '
                'sizes says that they belong together',
            )
    found = (
        ('auxiliary', report.aux_symmetry, report.shift),
        ('label', report.label_symmetry, report.label_shift),
    )
    for name, symmetry, shift in found:
        if symmetry is not None and symmetry.fit.clear:
            yield (
                HURTS,
                f'the {name} raster fits the optical one better {symmetry.name} '
                f'({_compared(symmetry.fit)}): look at the picture, and write it anew',
            )
        elif shift is not None and shift.fit.clear and _length(shift) >= SHIFT_LOOK[name]:
            yield (
                HURTS if _length(shift) >= SHIFT_HURTS else LOOK,
                f'the {name} raster seems shifted by ({shift.row:+d}, {shift.col:+d}) pixels '
                f'(down, right; {_compared(shift.fit)}): register it to the optical raster',
            )


def _length(shift: Shift) -> int:
    return max(abs(shift.row), abs(shift.col))


def _compared(fit: Fit) -> str:
    return (
        f'they correlate by {fit.best_score:.2f} then, by {fit.score:.2f} as they are, and by at '
        f'most {fit.chance:.2f} by chance'
    )
