"""Overall accuracy, F1 and IoU from one confusion matrix of integers, for any classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.registry import METRICS
from PIL import Image
from prettytable import PrettyTable
from torch import Tensor

from mobanet_mmseg.writing import Stems, check_outputs, whole_file

PATHS = ('img_path', 'aux_path', 'seg_map_path')  # that a sample was read from
CHUNK = 2**18  # pixels that are counted at once: they stay in the processor's cache


@METRICS.register_module()
class SegmentationMetric(BaseMetric):
    """Overall accuracy, F1 and IoU from one confusion matrix over all test pixels.

    Pixels are counted in int64, so that no tile is too large. Every valid pixel counts, those of
    excluded classes too: they are part of OA and of the other classes' errors. Only the class means
    leave the excluded classes out. All values are percentages; a class that neither truth nor
    prediction holds is nan and in no mean.

    =================  ==========================================================
    ``OA``             right pixels / all pixels, over all classes (MMSeg's aAcc)
    ``mF1``            mean F1 of the classes that are not excluded
    ``mIoU``           mean IoU of the classes that are not excluded
    ``mIoU_all``       mean IoU of all classes (MMSeg's mIoU)
    ``F1.<class>``     2 TP / (2 TP + FP + FN)
    ``IoU.<class>``    TP / (TP + FP + FN)
    =================  ==========================================================

    Args:
        ignore_index: Truth of the pixels that do not count.
        excluded_classes: Names that the class means leave out.
        output_dir: Folder for the predictions as PNGs of class indices, one a sample under the
            stem of its optical raster, as MMSeg's metrics write them.
        format_only: Write the predictions and measure nothing.
        keep_results: Not used; MMSeg's ``tools/test.py --out`` sets it beside ``output_dir``.
        collect_device: Where the processes' matrices are gathered, ``'cpu'`` or ``'gpu'``.
        prefix: Put before each metric's name.
        collect_dir: Shared folder through which processes gather on ``'cpu'``.

    Raises:
        ValueError: If ``format_only`` has no ``output_dir`` to write to.
    """

    protocol: ClassVar[str] = ''  # what the log says of the class means

    def __init__(
        self,
        ignore_index: int = 255,
        excluded_classes: Sequence[str] = (),
        output_dir: str | None = None,
        format_only: bool = False,
        keep_results: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if format_only and output_dir is None:
            raise ValueError(
                f'{type(self).__name__} got format_only=True and no output_dir: name the folder '
                'that the predictions are written to.'
            )
        self.ignore_index = ignore_index
        self.excluded_classes = tuple(excluded_classes)
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.format_only = format_only
        self.stems = Stems()
        self.splits: set[str] = set()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count each sample's pixels.

        Args:
            data_batch: Not used.
            data_samples: Samples with ``pred_sem_seg`` and ``gt_sem_seg``, (1, H, W) each.

        Raises:
            OSError: If a prediction cannot be written.
            ValueError: If a sample has no truth, its truth does not fit the prediction, or a
                prediction would be written over what the sample was read from.
        """
        for sample in data_samples:
            self.splits |= {sample['split']} if sample.get('split') else set()
            if self.output_dir is not None:
                labels = sample['pred_sem_seg']['data'].squeeze(0).cpu().numpy().astype(np.uint8)
                path = self.output_dir / f'{self.stems.of(sample["img_path"])}.png'
                check_outputs([path], [sample[key] for key in PATHS if sample.get(key)])
                with whole_file(path) as part:
                    Image.fromarray(labels).save(part, format='PNG')
            self.results.append(None if self.format_only else self._count(sample))

    def compute_metrics(self, results: list[Tensor | None]) -> dict[str, float]:
        """Turn the samples' (K, K) matrices into percentages, and log the table.

        Args:
            results: One matrix per sample, truth down, prediction across.

        Returns:
            The values named in the class's description, rounded to two decimals.

        Raises:
            ValueError: If no pixel has a label.
        """
        if self.format_only:
            print_log(f'The predictions are in {self.output_dir}.', MMLogger.get_current_instance())
            return {}
        classes = self._class_names()
        matrix = sum(results, torch.zeros(len(classes), len(classes), dtype=torch.int64)).numpy()
        if matrix.sum() == 0:
            raise ValueError(
                f'No labelled pixel in {len(results)} samples: every label is ignore_index='
                f'{self.ignore_index}; check the label folder and its colours.'
            )
        found = percentages(matrix, classes, self.excluded_classes)
        metrics = {name: round(value, 2) for name, value in found.items()}
        self._log(classes, class_scores(matrix), metrics)
        return metrics

    def _count(self, sample: dict[str, Any]) -> Tensor:
        """Count the pixels of one sample by truth and prediction, (K, K) on the host."""
        name = sample.get('img_path', 'A sample')
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f'{name} has no gt_sem_seg to be measured against: give the dataset its labels '
                'and put LoadRasterAnnotations into the test pipeline.'
            )
        prediction, truth = sample['pred_sem_seg']['data'], sample['gt_sem_seg']['data']
        num_classes = len(self._class_names())
        return confusion_matrix(prediction, truth, num_classes, self.ignore_index, name).cpu()

    def _class_names(self) -> tuple[str, ...]:
        """Read the class names, which the runner takes from the dataset."""
        classes = tuple((self.dataset_meta or {}).get('classes') or ())
        if not classes:
            raise ValueError(
                f'{type(self).__name__} does not know the class names: give the dataset a METAINFO '
                "with 'classes', or set the metric's dataset_meta."
            )
        unknown = [name for name in self.excluded_classes if name not in classes]
        if unknown or len(self.excluded_classes) >= len(classes):
            raise ValueError(
                f'excluded_classes={self.excluded_classes} does not fit the classes {classes}: '
                'name some of them, or set excluded_classes=() to average all.'
            )
        return classes

    def _log(
        self, classes: Sequence[str], scores: dict[str, np.ndarray], metrics: dict[str, float]
    ) -> None:
        """Log a table of the classes, then the means with the convention of each."""
        table = PrettyTable(['Class', *scores], align='r')
        table.align['Class'] = 'l'
        table.title = '; '.join(sorted(self.splits)) or None
        for index, name in enumerate(classes):
            mark = ' (not in mF1, mIoU)' if name in self.excluded_classes else ''
            row = [f'{_percent(values[index]):.2f}' for values in scores.values()]
            table.add_row([name + mark, *row])
        summary = f'OA {metrics["OA"]:.2f} over all {len(classes)} classes'
        counted = f'over {len(classes) - len(self.excluded_classes)} classes{self.protocol}'
        summary += ''.join(f', {mean} {metrics[mean]:.2f} {counted}' for mean in ('mF1', 'mIoU'))
        if self.excluded_classes:
            summary += f', mIoU {metrics["mIoU_all"]:.2f} over {len(classes)} classes (MMSeg)'
        print_log(f'per class results:\n{table}\n{summary}', MMLogger.get_current_instance())


@METRICS.register_module()
class ISPRSMetric(SegmentationMetric):
    """The ISPRS protocol: clutter counts as truth and as error, and is in no class mean.

    Source: ISPRS 2D Semantic Labeling; MoBaNet (arXiv:2603.17705), Sec. IV.

    Args:
        excluded_classes: Names that the class means leave out.
        **kwargs: Passed to :class:`SegmentationMetric`.
    """

    protocol = ' (ISPRS protocol)'

    def __init__(self, excluded_classes: Sequence[str] = ('clutter',), **kwargs: Any) -> None:
        super().__init__(excluded_classes=excluded_classes, **kwargs)


def confusion_matrix(
    prediction: Tensor, truth: Tensor, num_classes: int, ignore_index: int, name: str
) -> Tensor:
    """Count the pixels of one sample by truth and prediction.

    Args:
        prediction: Class indices, (1, H, W) or (H, W).
        truth: Class indices of the same shape, on any device.
        num_classes: Number of classes K.
        ignore_index: Truth of the pixels that do not count.
        name: What the errors call the sample.

    Returns:
        (K, K) int64 on the prediction's device, truth down, prediction across.

    Raises:
        ValueError: If the shapes differ, or an index is not below K.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f'{name} has a prediction of {tuple(prediction.shape)} pixels and a truth of '
            f'{tuple(truth.shape)}: load labels at the size of the image, after any resizing.'
        )
    counts = torch.zeros(num_classes**2, dtype=torch.int64, device=prediction.device)
    for pixels, labels in zip(
        prediction.flatten().split(CHUNK), truth.flatten().split(CHUNK), strict=True
    ):
        labels = labels.to(pixels.device)
        valid = labels != ignore_index
        found = {'truth': labels[valid].long(), 'prediction': pixels[valid].long()}
        for kind, indices in found.items():
            wrong = indices[(indices < 0) | (indices >= num_classes)]
            if len(wrong):
                raise ValueError(
                    f'{name} has class index {int(wrong[0])} in its {kind}, but the dataset has '
                    f'{num_classes} classes (0 to {num_classes - 1}; {ignore_index} is ignored): '
                    "make the labels, METAINFO and the head's num_classes agree."
                )
        codes = found['truth'] * num_classes + found['prediction']
        counts += torch.bincount(codes, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def class_scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Compute each class's scores, as fractions.

    Args:
        matrix: (..., K, K) pixel counts, truth down, prediction across.

    Returns:
        ``F1``, ``IoU``, ``Precision`` and ``Recall``, (..., K) each; nan where nothing is divided.
    """
    right = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    predicted, true = matrix.sum(axis=-2), matrix.sum(axis=-1)
    with np.errstate(invalid='ignore'):  # 0 / 0 is the nan of an absent class
        return {
            'F1': 2 * right / (predicted + true),
            'IoU': right / (predicted + true - right),
            'Precision': right / predicted,
            'Recall': right / true,
        }


def mean_scores(matrix: np.ndarray, counted: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the scores of all classes together, as fractions.

    Args:
        matrix: (..., K, K) pixel counts, truth down, prediction across.
        counted: (K,) bool, the classes that ``mF1`` and ``mIoU`` average.

    Returns:
        ``OA``, ``mF1``, ``mIoU`` and ``mIoU_all``, (...) each; nan where there is nothing.
    """
    scores = class_scores(matrix)
    with np.errstate(invalid='ignore'):
        accuracy = np.trace(matrix, axis1=-2, axis2=-1) / matrix.sum(axis=(-2, -1))
    return {
        'OA': accuracy,
        'mF1': _mean(scores['F1'][..., counted]),
        'mIoU': _mean(scores['IoU'][..., counted]),
        'mIoU_all': _mean(scores['IoU']),
    }


def percentages(
    matrix: np.ndarray, classes: Sequence[str], excluded_classes: Sequence[str] = ()
) -> dict[str, float]:
    """Give the scores of a confusion matrix by the names that a metric reports them under.

    Args:
        matrix: (K, K) pixel counts, truth down, prediction across.
        classes: Name of each class.
        excluded_classes: Names that the class means leave out.

    Returns:
        The values of :class:`SegmentationMetric`, not rounded.
    """
    counted = np.array([name not in excluded_classes for name in classes])
    found = {name: 100 * float(value) for name, value in mean_scores(matrix, counted).items()}
    scores = class_scores(matrix)
    for score in ('F1', 'IoU'):
        values = zip(classes, scores[score], strict=True)
        found |= {f'{score}.{name}': 100 * float(value) for name, value in values}
    return found


def _mean(values: np.ndarray) -> np.ndarray:
    """Average the classes that are there along the last axis; nan if none is."""
    present = ~np.isnan(values)
    with np.errstate(invalid='ignore'):
        return np.where(present, values, 0).sum(axis=-1) / present.sum(axis=-1)


def _percent(fraction: float) -> float:
    return round(float(fraction) * 100, 2)
