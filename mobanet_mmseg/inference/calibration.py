"""Finds the temperature of a trained model on labelled tiles, and measures it on others."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.config import Config
from torch import Tensor

from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.datasets.loading import LoadRasterAnnotations
from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset, shared_files
from mobanet_mmseg.datasets.splits import follow_split
from mobanet_mmseg.datasets.wrappers import build_parts
from mobanet_mmseg.evaluation.calibration import NUM_BINS, Reliability, fit_temperature
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.inference.predict import labels_of, predict_logits
from mobanet_mmseg.weights.checkpoints import read_checkpoint
from mobanet_mmseg.writing import whole_file

NUM_PIXELS = 1_000_000  # of the sample: 24 MB of logits of six classes

Tile = dict[str, Any]  # what a dataset says of a tile
Pixels = tuple[Tensor, Tensor, Tensor]  # logits (n, K), predicted and true classes (n,)


@dataclass(frozen=True)
class Calibration:
    """A temperature, and what it does to the confidence.

    Args:
        temperature: Fitted on all pixels of the sample.
        num_sampled: Labelled pixels of the sample.
        before: Of the tiles that were checked, by the temperature of the checkpoint.
        after: Of the same, by a temperature that was fitted on others; None as ``before`` where
            nothing was checked.
        folds: Temperatures of the halves of the tiles, where each is checked by the other's.
    """

    temperature: float
    num_sampled: int
    before: Reliability | None = None
    after: Reliability | None = None
    folds: tuple[float, ...] = ()


class Calibrator:
    """Streams labelled tiles through a trained model, as prediction does, strip by strip.

    The logits are the means over windows (and symmetries), which are what prediction softmaxes.

    Args:
        inferencer: The trained model.
        num_bins: Bins of the confidence.
        num_pixels: Size of the sample that the temperature is fitted on, drawn evenly over all
            pixels; those without a label are left out of it.
        seed: The sample follows from it, and from the names of the tiles.
        show: Takes a tile's path as it is begun.
    """

    def __init__(
        self,
        inferencer: MultimodalInferencer,
        num_bins: int = NUM_BINS,
        num_pixels: int = NUM_PIXELS,
        seed: int = 0,
        show: Callable[[str], None] = lambda path: None,
    ) -> None:
        self.inferencer = inferencer
        self.num_bins, self.num_pixels = num_bins, num_pixels
        self.seed = seed
        self.show = show

    def calibrate(self, fit: Sequence[Tile], check: Sequence[Tile] | None) -> Calibration:
        """Fit the temperature, and check it on tiles that it was not fitted on.

        Where the tiles to check are all fitted on, they are checked by halves: each half (every
        other tile) by the temperature that is fitted on the other half.

        Args:
            fit: Tiles to fit on.
            check: Tiles to check on, those of ``fit`` left out if others stay; None for none.

        Raises:
            ValueError: If there is nothing to fit or to check on.
        """
        fraction = min(1.0, self.num_pixels / sum(tile['height'] * tile['width'] for tile in fit))
        if check is None:
            sample = self._sample(fit, fraction)
            return Calibration(_fit(sample), len(sample[0]))
        others = new_tiles(check, fit)
        before, after = self._empty(), self._empty()
        if others:
            sample = self._sample(fit, fraction)
            temperature = _fit(sample)
            self._count(others, before, after, temperature)
            folds = ()
        else:
            halves = fit[::2], fit[1::2]
            if not halves[1]:
                raise ValueError(
                    f'{fit[0]["img_path"]} is the one tile to fit and to check on: give the other '
                    'split other tiles, or --check none.'
                )
            first = self._sample(halves[0], fraction)
            second = self._sample(halves[1], fraction)
            folds = _fit(first), _fit(second)
            self._count(halves[1], before, after, folds[0])
            self._count(halves[0], before, after, folds[1])
            sample = tuple(map(torch.cat, zip(first, second, strict=True)))
            temperature = _fit(sample)
        if not before.num_pixels:
            raise ValueError('The tiles to check on have no labelled pixel: give their labels.')
        return Calibration(temperature, len(sample[0]), before, after, folds)

    def pixels(self, tile: Tile) -> Iterator[Pixels]:
        """Give the labelled pixels of a tile, strip by strip.

        Args:
            tile: From :func:`labelled_tiles`.

        Yields:
            The mean logits of some pixels (of a single channel, those of two classes), their
            predicted and their true classes, on the model's device.
        """
        network, load = self.inferencer.network, LoadRasterAnnotations()
        self.show(tile['img_path'])
        with self.inferencer.open_pair(tile['img_path'], tile.get('aux_path')) as source:
            strips, tiling = self.inferencer.plan(source), self.inferencer.tiling
            for window, (logits,), valid in predict_logits(network, source, strips, tiling):
                results = load.transform({**tile, 'window': window, 'seg_fields': []})
                truth = torch.from_numpy(results['gt_seg_map'])
                labelled = (truth != IGNORE_INDEX) & valid
                self._check_classes(tile, truth[labelled])
                here = labelled.to(logits.device)
                predicted = labels_of(logits, network.threshold)[here]
                chosen = logits[:, here].T
                if chosen.shape[1] == 1:
                    chosen = torch.cat([torch.zeros_like(chosen), chosen], dim=1)
                yield chosen, predicted, truth[labelled].long().to(logits.device)

    def _check_classes(self, tile: Tile, truth: Tensor) -> None:
        count = len(self.inferencer.classes.names)
        if len(truth) and int(truth.max()) >= count:
            raise ValueError(
                f'{tile["seg_map_path"]} has the class index {int(truth.max())}, but the '
                f'checkpoint has {count} classes: make the classes of the dataset and of the model '
                'agree.'
            )

    def _empty(self) -> Reliability:
        return Reliability(len(self.inferencer.classes.names), self.num_bins)

    def _count(
        self, tiles: Iterable[Tile], before: Reliability, after: Reliability, temperature: float
    ) -> None:
        for tile in tiles:
            for pixels in self.pixels(tile):
                before.add(*pixels, self.inferencer.model.temperature)
                after.add(*pixels, temperature)

    def _sample(self, tiles: Iterable[Tile], fraction: float) -> tuple[Tensor, Tensor]:
        """Draw logits (n, K) and true classes (n,), on the host."""
        logits, truths = [], []
        for tile in tiles:
            name = f'{self.seed} {Path(tile["img_path"]).stem}'
            rng = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            for values, _, truth in self.pixels(tile):
                drawn = torch.rand(len(truth), generator=rng) < fraction
                logits.append(values.cpu()[drawn].float())
                truths.append(truth.cpu()[drawn])
        return torch.cat(logits), torch.cat(truths)


def _fit(sample: tuple[Tensor, Tensor]) -> float:
    return fit_temperature(*sample)


def labelled_tiles(config: Config, split: Literal['val', 'test']) -> list[Tile]:
    """List the tiles of a config's split.

    Args:
        config: With the data loader of the split; its ``split`` is followed, and it stays as it is.
        split: Which one.

    Returns:
        What the dataset says of each tile: its files, size and label values.

    Raises:
        FileNotFoundError: If rasters are missing.
        ValueError: If the config has no such split, of this package's datasets, or one of no
            labels.
    """
    config = deepcopy(config)
    follow_split(config)
    loader = config.get(f'{split}_dataloader')
    settings, tiles = (loader or {'dataset': {'type': 'none'}})['dataset'], []
    for part, dataset in build_parts(settings, MultimodalSegDataset):
        if dataset is None:
            raise ValueError(
                f'The {split}_dataloader.dataset of {config.filename} is {part["type"]}: give a '
                'config whose dataset is a MultimodalSegDataset.'
            )
        dataset.full_init()
        tiles += [dataset.get_data_info(index) for index in range(len(dataset))]
    if not all('seg_map_path' in tile for tile in tiles):
        raise ValueError(
            f'The {split} set of {config.filename} has no labels (seg_map_path): give it its '
            'labels, or choose the other split.'
        )
    return tiles


def new_tiles(tiles: Sequence[Tile], known: Sequence[Tile]) -> list[Tile]:
    """Leave out the tiles that are among others, by their files.

    Args:
        tiles: Some tiles.
        known: The others.
    """
    paths = [tile['img_path'] for tile in tiles]
    shared = shared_files(paths, [tile['img_path'] for tile in known])
    return [tile for tile in tiles if tile['img_path'] not in shared]


def write_calibrated(
    checkpoint: str | Path, out: str | Path, temperature: float, fitted_on: str
) -> None:
    """Write a copy of a checkpoint that holds a temperature.

    Args:
        checkpoint: The file.
        out: The copy.
        temperature: Goes into its ``meta``.
        fitted_on: What it was fitted on, in words; likewise.

    Raises:
        OSError: If the copy cannot be written.
    """
    content = read_checkpoint(checkpoint)
    told = {'temperature': float(temperature), 'temperature_fitted_on': fitted_on}
    content['meta'] = {**content['meta'], **told}
    with whole_file(out, RuntimeError) as part:  # torch's, of a full disk
        torch.save(content, part)
