"""Hooks that write predictions: as GeoTIFFs, and as pictures of both modalities."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.utils.data import Dataset

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.models.data_preprocessor import MultimodalDataPreProcessor
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.geotiff import Layer, write_geotiff
from mobanet_mmseg.visualization.pictures import (
    check_folder,
    render_panels,
    sample_name,
    save_picture,
    stems_of,
)
from mobanet_mmseg.writing import Stems


@HOOKS.register_module()
class SavePredictionHook(Hook):
    """Writes each test sample's label map as an indexed GeoTIFF.

    A file has the stem of its optical raster, and the raster's CRS and transform; that of a window
    also has the window's first row and column in its name and its own transform. Of several rasters
    of one stem, as of two folders, the others get numbers, which a log tells.

    Args:
        out_dir: Folder of the label maps.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)
        self.stems = Stems()

    def before_test(self, runner: Runner) -> None:
        """Look whether the test set's own rasters lie where the label maps go, and name these.

        Raises:
            ValueError: If they do.
        """
        check_folder(self.out_dir, '.tif', runner.test_dataloader.dataset)
        self.stems = stems_of(runner.test_dataloader.dataset)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Write the label maps of one batch.

        Args:
            runner: Knows the classes and the palette.
            batch_idx: Not used.
            data_batch: Not used.
            outputs: Samples with ``pred_sem_seg`` (1, H, W) and ``img_path``.

        Raises:
            OSError: If a file cannot be written.
            ValueError: If a prediction is not on its raster's grid.
        """
        classes = _classes(runner)
        for sample in outputs or ():
            labels = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)
            info = read_info(sample.img_path)
            window = sample.get('window')
            grid = info if window is None else info.crop(window)
            if labels.shape != (grid.height, grid.width):
                raise ValueError(
                    f'The prediction of {sample.img_path} is {labels.shape} pixels, but '
                    f"{(grid.height, grid.width)} were read: keep ori_shape (and 'window') in the "
                    'meta_keys of PackSegInputs.'
                )
            path = self.out_dir / f'{sample_name(sample, self.stems)}.tif'
            write_geotiff(Layer(path, classes=classes), grid, labels[None])


@HOOKS.register_module()
class MultimodalVisualizationHook(Hook):
    """Draws both images, truth, prediction and errors of validation and test samples.

    The images are those of the data batch, before normalisation, so that any raster, window or
    augmentation is drawn as the model got it. The dataset's ``aux_kind`` says how the auxiliary
    one is drawn; heights are shaded.

    Args:
        draw: Draw at all: ``tools/test.py --show-dir`` sets it, and in training
            ``--cfg-options default_hooks.visualization.draw=True``.
        interval: Draws the samples of every such batch.
        out_dir: Folder of the pictures; without one they go to the runner's visualizer, and so to
            each of its backends (files under ``vis_data/vis_image`` of the run's folder, unless
            the config names others).
        modality_channels: Channels of the optical and of the auxiliary image. None takes those of
            the model's ``MultimodalDataPreProcessor``; with another one the first three channels
            are the optical image.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 1,
        out_dir: str | None = None,
        modality_channels: Sequence[int] | None = None,
    ) -> None:
        self.draw = draw
        self.interval = interval
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.modality_channels = modality_channels and tuple(modality_channels)
        self.dataset: Dataset | None = None
        self.stems = Stems()

    def before_val(self, runner: Runner) -> None:
        """Look whether the validation set's own rasters lie where the pictures go, and name these.

        Raises:
            ValueError: If they do.
        """
        self._prepare(runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Look whether the test set's own rasters lie where the pictures go, and name these.

        Raises:
            ValueError: If they do.
        """
        self._prepare(runner.test_dataloader.dataset)

    def _prepare(self, dataset: Dataset) -> None:
        if self.draw and dataset is not self.dataset:  # once, and not for each validation
            if self.out_dir is not None:
                check_folder(self.out_dir, '.png', dataset)
            self.dataset, self.stems = dataset, stems_of(dataset)

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
        mode: str = 'train',
    ) -> None:
        """Draw the samples of a validation or test batch; MMEngine calls it after each."""
        due = self.draw and self.every_n_inner_iters(batch_idx, self.interval)
        if mode == 'train' or not due:
            return
        classes = _classes(runner)
        for image, sample in _pairs(data_batch, outputs):
            picture = render_panels(**self._layers(runner, image, sample), classes=classes)
            name = sample_name(sample, self.stems)
            if self.out_dir is None:  # one name per sample, so that backends step through time
                name = f'val_{name}' if mode == 'val' else name
                runner.visualizer.add_image(name, picture, step=runner.iter)
            else:
                name = f'val_{runner.iter}_{name}' if mode == 'val' else name
                save_picture(self.out_dir / f'{name}.png', picture)

    def _layers(self, runner: Runner, image: Tensor, sample: SegDataSample) -> dict[str, Any]:
        """Split a (C, H, W) sample into the layers of a picture."""
        channels = self.modality_channels or _modality_channels(runner)
        if channels is not None and image.shape[0] != sum(channels):
            raise ValueError(
                f'{sample.img_path} has {image.shape[0]} channels where modality_channels='
                f'{channels} are to be drawn: leave modality_channels of '
                'MultimodalVisualizationHook out, or set it to those of the model.'
            )
        optical = 3 if channels is None else channels[0]
        stack = image.cpu().numpy().transpose(1, 2, 0)
        return {
            'rgb': stack[..., :optical],
            'aux': stack[..., optical:],
            'aux_kind': runner.visualizer.dataset_meta.get('aux_kind', 'height'),
            'truth': sample.gt_sem_seg.data[0].cpu().numpy() if 'gt_sem_seg' in sample else None,
            'prediction': sample.pred_sem_seg.data[0].cpu().numpy(),
        }


def _pairs(
    data_batch: dict, outputs: Sequence[SegDataSample]
) -> Iterator[tuple[Tensor, SegDataSample]]:
    """Pair each output with its stacked image.

    With test-time augmentation ``inputs`` holds one batch per augmentation: the one that is
    neither flipped nor resized is drawn.
    """
    batches = data_batch['inputs']
    batches = [batches] if isinstance(batches[0], Tensor) else batches
    samples = data_batch['data_samples']
    samples = [samples] if isinstance(samples[0], SegDataSample) else samples
    for index, output in enumerate(outputs):
        shape = output.pred_sem_seg.data.shape[-2:]
        plain = [
            images[index]
            for images, metas in zip(batches, samples, strict=True)
            if images[index].shape[-2:] == shape and not metas[index].get('flip', False)
        ]
        if not plain:
            raise ValueError(
                f'{output.img_path} was given to the model only flipped or resized, and cannot '
                'be drawn beside its prediction: add the image as it is to the augmentations, '
                'or set draw=False.'
            )
        yield plain[0], output


def _modality_channels(runner: Runner) -> tuple[int, int] | None:
    """What the model's data preprocessor says, wherever the model is wrapped; None if nothing."""
    for module in runner.model.modules():
        if isinstance(module, MultimodalDataPreProcessor):
            return module.modality_channels
    return None


def _classes(runner: Runner) -> Classes:
    """Read the classes, which the loop takes from its dataset."""
    meta = runner.visualizer.dataset_meta or {}
    if not meta.get('classes') or not meta.get('palette'):
        raise ValueError(
            'The dataset has no class names or no colours to write predictions with: give it '
            'metainfo=dict(classes=(...), palette=[...]).'
        )
    return Classes.of(meta)
