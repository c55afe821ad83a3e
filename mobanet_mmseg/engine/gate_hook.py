"""Draws where the gates look, each time a training is validated."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from torch import Tensor

from mobanet_mmseg.classes import IGNORE_INDEX, Classes
from mobanet_mmseg.datasets.channels import modality_channels_of
from mobanet_mmseg.evaluation.gate_sums import GateSums
from mobanet_mmseg.models.gates import GateWatch, gate_network
from mobanet_mmseg.models.tiled import segmentor_of
from mobanet_mmseg.tiling.sliding_window import Rows, slide
from mobanet_mmseg.tiling.windows import Tiling, plan_strips
from mobanet_mmseg.visualization.gates import render_gates
from mobanet_mmseg.visualization.pictures import sample_name, stems_of
from mobanet_mmseg.writing import Stems


@HOOKS.register_module()
class GateHook(Hook):
    """Draws DGFM's gates over the first samples of each validation, and sums them up by class.

    Pictures go to the runner's visualizer; so do the scalars ``gate/aux_weight.<class>``, the
    weight of the auxiliary stream on the pixels of a class in per cent, mean of the stages, over
    the samples that are drawn. These run through the encoder once more. The gates of a checkpoint
    over whole test sets, as GeoTIFFs too: ``tools/analysis_tools/gate_report.py``.

    Args:
        draw: Draw at all.
        num: Samples that are drawn.
    """

    def __init__(self, draw: bool = False, num: int = 1) -> None:
        self.draw = draw
        self.num = num
        self.drawn = 0
        self.sums: GateSums | None = None
        self.stems = Stems()

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin to count."""
        self.drawn, self.sums = 0, None
        if self.draw:
            self.stems = stems_of(runner.val_dataloader.dataset)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Any] | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Draw the samples of a batch, as long as some are wanted.

        Args:
            runner: Of the training.
            batch_idx: Not used.
            data_batch: Its stacked images, not normalised.
            outputs: The samples.
        """
        if not self.draw or self.drawn >= self.num:
            return
        watch = GateWatch(segmentor_of(runner.model))
        channels = modality_channels_of(runner.val_dataloader.dataset)
        if not watch.stages or channels is None:
            return
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            if self.drawn < self.num:
                self._draw(runner, watch, image, sample, channels[0])
                self.drawn += 1

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Tell how much of each class came from the auxiliary image.

        Args:
            runner: Of the training.
            metrics: Not used.
        """
        if self.sums is None:
            return
        means = 100 * self.sums.means('weight')[:-1].mean(axis=1)
        names = runner.visualizer.dataset_meta['classes']
        known = {name: float(v) for name, v in zip(names, means, strict=True) if np.isfinite(v)}
        scalars = {f'gate/aux_weight.{name}': value for name, value in known.items()}
        runner.visualizer.add_scalars(scalars, step=runner.iter)
        told = ', '.join(f'{name} {value:.1f}' for name, value in known.items())
        runner.logger.info(f'Weight of aux in the gates (%), mean of the stages: {told}.')

    def _draw(
        self, runner: Runner, watch: GateWatch, image: Tensor, sample: SegDataSample, optical: int
    ) -> None:
        """Run one sample through the encoder again, draw its gates, and add them up."""
        from_aux = gate_maps(segmentor_of(runner.model), watch, image)
        weight, share = np.split(from_aux, 2)
        meta = runner.visualizer.dataset_meta
        classes, truth = Classes.of(meta), None
        if 'gt_sem_seg' in sample:
            truth = sample.gt_sem_seg.data[0].cpu().numpy()
            everywhere = np.ones(truth.shape, bool)
            self.sums = self.sums or GateSums.of_nothing(len(classes), len(weight))
            self.sums.add(np.where(truth < 0, IGNORE_INDEX, truth), everywhere, weight, share)
        stack = image.cpu().numpy().transpose(1, 2, 0)
        picture = render_gates(
            rgb=stack[..., :optical],
            aux=stack[..., optical:],
            weight=weight,
            aux_kind=meta.get('aux_kind', 'height'),
            truth=truth,
            classes=classes,
        )
        name = f'val_{sample_name(sample, self.stems)}_gates'
        runner.visualizer.add_image(name, picture, step=runner.iter)


@torch.no_grad()
def gate_maps(model: torch.nn.Module, watch: GateWatch, image: Tensor) -> np.ndarray:
    """Slide over an image as a test does, and give what its gates take from aux.

    Args:
        model: A segmentor in eval mode.
        watch: Its gates.
        image: (C, H, W), not normalised.

    Returns:
        (2S, H, W) float32, the auxiliary stream's weight of each stage, then its share.
    """
    device = next(model.parameters()).device
    size = tuple(image.shape[-2:])
    sliding = model.test_cfg.get('mode') == 'slide'
    tiling = Tiling.of(model.test_cfg) if sliding else Tiling(window=size, stride=size)
    strips = plan_strips(*size, tiling)
    image = image[None].to(device, torch.float32)
    rows = (Rows(image[..., strip.read.rows, :]) for strip in strips)
    count = 2 * len(watch.stages)
    maps = np.empty((count, *size), np.float32)
    with watch:
        for done in slide(gate_network(model, watch), count, rows, strips, size, tiling):
            maps[:, done.window.rows] = 1 - done.logits[0].cpu().numpy()
    return maps
