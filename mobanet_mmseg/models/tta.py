"""Test-time augmentation that keeps one sum of predictions, not all of them."""

from collections.abc import Iterator, Sequence

from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import SampleList
from torch import Tensor

from mobanet_mmseg.tiling.symmetries import (
    apply_symmetry,
    choose_symmetries,
    swaps_sides,
    undo_symmetry,
)

ROWS_AT_ONCE = 512  # rows whose logits become probabilities at a time


@MODELS.register_module()
class SymmetryTTAModel(SegTTAModel):
    """Averages the class probabilities of an image turned and mirrored, for any EncoderDecoder.

    Images come plain, from the pipeline of any test, and are turned here one after the other: a
    pipeline that turns them would hold all copies of a tile, and their predictions, at once. The
    labels stay as they are, and may be missing.

    Where the pipeline has MMSeg's ``TestTimeAug``, its own views (flips, scales) are averaged, and
    ``symmetries`` is not used.

    Args:
        module: The segmentor, or its config.
        symmetries: ``'flips'`` (as it is, mirrored left-right, top-bottom, both), ``'d4'`` (the
            same four, and turned by a quarter), or numbers of ``tiling.symmetries``.

    Raises:
        ValueError: If there is no such symmetry.
    """

    def __init__(self, module: dict | BaseModel, symmetries: str | Sequence[int] = 'd4') -> None:
        super().__init__(module)
        self.symmetries = choose_symmetries(symmetries)

    def test_step(self, data: dict) -> SampleList:
        """Predict a collated batch.

        Args:
            data: ``inputs``, a list of (C, H, W) images, and their ``data_samples``; or, of
                ``TestTimeAug``, one such list per view.

        Returns:
            Samples with ``pred_sem_seg`` (1, H, W), and ``gt_sem_seg`` if there are labels.
        """
        plain = isinstance(data['inputs'][0], Tensor)
        samples = data['data_samples'] if plain else data['data_samples'][0]
        views = self._symmetric_views(data) if plain else _given_views(data)
        totals: list[Tensor] = []
        for k, view in views:
            self._add(totals, view, k)
        count = len(self.symmetries if plain else data['inputs'])
        return [
            self._merged(sample, total.div_(count))
            for sample, total in zip(samples, totals, strict=True)
        ]

    def _add(self, totals: list[Tensor], view: dict, k: int) -> None:
        """Add a view's probabilities to the sums; nothing else of its prediction stays."""
        for index, output in enumerate(self.module.test_step(view)):
            probabilities = undo_symmetry(self._probabilities(output), k)
            if index == len(totals):
                totals.append(probabilities)
            else:
                totals[index] += probabilities

    def _symmetric_views(self, data: dict) -> Iterator[tuple[int, dict]]:
        for k in self.symmetries:
            samples = [_turned(sample, k) for sample in data['data_samples']]
            images = [apply_symmetry(image, k) for image in data['inputs']]
            yield k, {**data, 'inputs': images, 'data_samples': samples}

    def _probabilities(self, output: SegDataSample) -> Tensor:
        """Take the (K, H, W) class probabilities of a prediction, which does not outlive it."""
        logits = output.seg_logits.data.float()  # halves would round the sum
        del output.seg_logits
        if self.module.out_channels > 1:
            for rows in logits.split(ROWS_AT_ONCE, dim=1):
                rows.copy_(rows.softmax(dim=0))
        return logits  # of one channel, the segmentor has already taken the sigmoid

    def _merged(self, sample: SegDataSample, probabilities: Tensor) -> SegDataSample:
        if self.module.out_channels > 1:
            labels = probabilities.argmax(dim=0, keepdim=True)
        else:
            labels = (probabilities > self.module.decode_head.threshold).to(probabilities)
        merged = SegDataSample(metainfo=sample.metainfo, pred_sem_seg=PixelData(data=labels))
        if 'gt_sem_seg' in sample:
            merged.gt_sem_seg = sample.gt_sem_seg
        return merged


def _given_views(data: dict) -> Iterator[tuple[int, dict]]:
    """Split what ``TestTimeAug`` gives; the segmentor itself undoes its flips and scales."""
    for index in range(len(data['inputs'])):
        yield 0, {key: values[index] for key, values in data.items()}


def _turned(sample: SegDataSample, k: int) -> SegDataSample:
    """Describe a turned image: without labels, its sizes (H, W) swapped if its sides are."""
    metas = dict(sample.metainfo)
    for key in ('ori_shape', 'img_shape', 'pad_shape'):
        if key in metas and swaps_sides(k):
            metas[key] = tuple(metas[key][::-1])
    return SegDataSample(metainfo=metas)
