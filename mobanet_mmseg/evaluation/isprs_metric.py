"""The ISPRS benchmark's metrics, and MMSeg's six-class mIoU beside them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.registry import METRICS
from prettytable import PrettyTable
from torch import Tensor


@METRICS.register_module()
class ISPRSMetric(BaseMetric):
    """Overall accuracy, F1 and IoU from one confusion matrix over all test pixels.

    Every valid pixel counts, those of the excluded classes too: they are part of OA and of the
    other classes' errors. Only the class means leave the excluded classes out. All values are
    percentages; a class that neither truth nor prediction holds is nan and in no mean.

    =================  ==========================================================
    ``OA``             right pixels / all pixels, over all classes (MMSeg's aAcc)
    ``mF1``            mean F1 of the classes that are not excluded
    ``mIoU``           mean IoU of the classes that are not excluded
    ``mIoU_all``       mean IoU of all classes (MMSeg's mIoU)
    ``F1.<class>``     2 TP / (2 TP + FP + FN)
    ``IoU.<class>``    TP / (TP + FP + FN)
    =================  ==========================================================

    Source: ISPRS 2D Semantic Labeling; MoBaNet (arXiv:2603.17705), Sec. IV.

    Args:
        ignore_index: Truth of the pixels that do not count.
        excluded_classes: Names that the class means leave out; ``()`` for data without any.
        collect_device: Where the ranks' matrices are gathered, ``'cpu'`` or ``'gpu'``.
        prefix: Put before each metric's name.
        collect_dir: Shared folder through which ranks gather on ``'cpu'``.
    """

    def __init__(
        self,
        ignore_index: int = 255,
        excluded_classes: Sequence[str] = ('clutter',),
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.ignore_index = ignore_index
        self.excluded_classes = tuple(excluded_classes)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count each sample's pixels.

        Args:
            data_batch: Not used.
            data_samples: Samples with ``pred_sem_seg`` and ``gt_sem_seg``, (1, H, W) each.

        Raises:
            ValueError: If a sample has no truth, or its truth does not fit the prediction.
        """
        num_classes = len(self._class_names())
        for sample in data_samples:
            name = sample.get('img_path', 'A sample')
            if 'gt_sem_seg' not in sample:
                raise ValueError(
                    f'{name} has no gt_sem_seg to be measured against: give the dataset its '
                    'labels and put LoadAnnotations into the test pipeline.'
                )
            truth = sample['gt_sem_seg']['data']
            prediction = sample['pred_sem_seg']['data']
            matrix = confusion_matrix(prediction, truth, num_classes, self.ignore_index, name)
            self.results.append(matrix.cpu())

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Turn the samples' (K, K) matrices into percentages, and log the table.

        Args:
            results: One matrix per sample, truth down, prediction across.

        Returns:
            The values named in the class's description, rounded to two decimals.

        Raises:
            ValueError: If no pixel has a label.
        """
        classes = self._class_names()
        matrix = sum(results, torch.zeros(len(classes), len(classes), dtype=torch.int64)).numpy()
        if matrix.sum() == 0:
            raise ValueError(
                f'No labelled pixel in {len(results)} samples: every label is ignore_index='
                f'{self.ignore_index}; check the label folder and its colours.'
            )
        scores = class_scores(matrix)
        counted = np.array([name not in self.excluded_classes for name in classes])
        metrics = {
            'OA': _percent(np.trace(matrix) / matrix.sum()),
            'mF1': _percent(_mean(scores['F1'][counted])),
            'mIoU': _percent(_mean(scores['IoU'][counted])),
            'mIoU_all': _percent(_mean(scores['IoU'])),
        }
        for score in ('F1', 'IoU'):
            values = zip(classes, scores[score], strict=True)
            metrics.update({f'{score}.{name}': _percent(value) for name, value in values})
        self._log(classes, scores, metrics, int(counted.sum()))
        return metrics

    def _class_names(self) -> tuple[str, ...]:
        """Read the class names, which the runner takes from the dataset."""
        classes = tuple((self.dataset_meta or {}).get('classes') or ())
        if not classes:
            raise ValueError(
                'ISPRSMetric does not know the class names: give the dataset a METAINFO with '
                "'classes', or set the metric's dataset_meta."
            )
        unknown = [name for name in self.excluded_classes if name not in classes]
        if unknown or len(self.excluded_classes) >= len(classes):
            raise ValueError(
                f'excluded_classes={self.excluded_classes} does not fit the classes {classes}: '
                'name some of them, or set excluded_classes=() to average all.'
            )
        return classes

    def _log(
        self,
        classes: Sequence[str],
        scores: dict[str, np.ndarray],
        metrics: dict[str, float],
        num_counted: int,
    ) -> None:
        """Log a table of the classes, then the means with the convention of each."""
        table = PrettyTable(['Class', *scores], align='r')
        table.align['Class'] = 'l'
        for index, name in enumerate(classes):
            mark = ' (not in mF1, mIoU)' if name in self.excluded_classes else ''
            row = [f'{_percent(values[index]):.2f}' for values in scores.values()]
            table.add_row([name + mark, *row])
        summary = (
            f'OA {metrics["OA"]:.2f} over all {len(classes)} classes, '
            f'mF1 {metrics["mF1"]:.2f} over {num_counted} classes (ISPRS protocol), '
            f'mIoU {metrics["mIoU"]:.2f} over {num_counted} classes (ISPRS protocol), '
            f'mIoU {metrics["mIoU_all"]:.2f} over {len(classes)} classes (MMSeg)'
        )
        print_log(f'per class results:\n{table}\n{summary}', MMLogger.get_current_instance())


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
    truth = truth.to(prediction.device)
    valid = truth != ignore_index
    truth, prediction = truth[valid].long(), prediction[valid].long()
    for kind, indices in (('truth', truth), ('prediction', prediction)):
        wrong = indices[(indices < 0) | (indices >= num_classes)]
        if len(wrong):
            raise ValueError(
                f'{name} has class index {int(wrong[0])} in its {kind}, but the dataset has '
                f'{num_classes} classes (0 to {num_classes - 1}; {ignore_index} is ignored): make '
                "the labels, METAINFO and the head's num_classes agree."
            )
    counts = torch.bincount(truth * num_classes + prediction, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def class_scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Compute each class's scores, as fractions.

    Args:
        matrix: (K, K) pixel counts, truth down, prediction across.

    Returns:
        ``F1``, ``IoU``, ``Precision`` and ``Recall``, (K,) each; nan where nothing is divided.
    """
    right = np.diag(matrix).astype(np.float64)
    predicted, true = matrix.sum(axis=0), matrix.sum(axis=1)
    with np.errstate(invalid='ignore'):  # 0 / 0 is the nan of an absent class
        return {
            'F1': 2 * right / (predicted + true),
            'IoU': right / (predicted + true - right),
            'Precision': right / predicted,
            'Recall': right / true,
        }


def _mean(values: np.ndarray) -> float:
    """Average the classes that are there; nan if none is."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float('nan')


def _percent(fraction: float) -> float:
    return round(float(fraction) * 100, 2)
