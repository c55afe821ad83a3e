import math

import mmcv
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

import mobanet_mmseg  # noqa: F401  (patches the stack before mmseg is imported)

from mmseg.evaluation import IoUMetric  # isort: skip

from mobanet_mmseg.evaluation import segmentation_metric
from mobanet_mmseg.evaluation.segmentation_metric import (
    ISPRSMetric,
    SegmentationMetric,
    class_scores,
    confusion_matrix,
)

ISPRS_CLASSES = ('impervious_surface', 'building', 'low_vegetation', 'tree', 'car', 'clutter')


def sample(prediction, truth):
    """One data sample as the evaluator hands it on: dicts of (1, H, W) tensors."""
    return {
        'img_path': 'tile.tif',
        'pred_sem_seg': {'data': torch.as_tensor(prediction)[None]},
        'gt_sem_seg': {'data': torch.as_tensor(truth)[None]},
    }


def evaluate(metric, samples, classes):
    metric.dataset_meta = {'classes': classes}
    for one in samples:  # one at a time: the sum over samples is part of what is tested
        metric.process({}, [one])
    return metric.evaluate(len(samples))


# truth      prediction
# 0 0 1      0 1 1          class 0: TP 1, FP 1, FN 1    F1 1/2   IoU 1/3
# 1 2 255    1 0 2          class 1: TP 2, FP 1, FN 0    F1 4/5   IoU 2/3
#                           class 2: TP 0, FP 0, FN 1    F1 0     IoU 0 (its prediction is ignored)
TRUTH = [[0, 0, 1], [1, 2, 255]]
PREDICTION = [[0, 1, 1], [1, 0, 2]]


def test_confusion_matrix_has_truth_down_and_prediction_across():
    matrix = confusion_matrix(torch.tensor(PREDICTION), torch.tensor(TRUTH), 3, 255, 'tile')
    assert matrix.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert matrix.dtype == torch.int64


def test_36_million_pixels_of_one_class_are_all_counted():
    tile = torch.ones(1, 6000, 6000, dtype=torch.uint8)
    matrix = confusion_matrix(tile, tile, 6, 255, 'tile')
    assert matrix[1, 1] == matrix.sum() == 36_000_000  # float32 cannot count beyond 2^24


def test_chunks_add_up(monkeypatch):
    monkeypatch.setattr(segmentation_metric, 'CHUNK', 4)
    matrix = confusion_matrix(torch.tensor(PREDICTION), torch.tensor(TRUTH), 3, 255, 'tile')
    assert matrix.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_hand_counted_pixels_give_hand_worked_percentages():
    metric = ISPRSMetric()
    metrics = evaluate(metric, [sample(PREDICTION, TRUTH)], ('road', 'house', 'clutter'))
    assert metrics == {
        'OA': 60.0,  # 3 of 5
        'mF1': 65.0,  # (1/2 + 4/5) / 2
        'mIoU': 50.0,  # (1/3 + 2/3) / 2
        'mIoU_all': 33.33,  # (1/3 + 2/3 + 0) / 3
        'F1.road': 50.0,
        'F1.house': 80.0,
        'F1.clutter': 0.0,
        'IoU.road': 33.33,
        'IoU.house': 66.67,
        'IoU.clutter': 0.0,
    }


def test_precision_and_recall_are_counted_down_and_across():
    scores = class_scores(np.array([[1, 1, 0], [0, 2, 0], [1, 0, 0]]))
    np.testing.assert_allclose(scores['Precision'], [1 / 2, 2 / 3, np.nan])
    np.testing.assert_allclose(scores['Recall'], [1 / 2, 1, 0])


def test_oa_and_six_class_miou_are_those_of_mmseg():
    generator = torch.Generator().manual_seed(3)
    samples = []
    for _ in range(4):
        truth = torch.randint(0, 6, (37, 53), generator=generator)
        noise = torch.rand(37, 53, generator=generator)
        prediction = torch.where(noise < 0.3, truth.roll(5), truth)
        truth[noise > 0.8] = 255
        samples.append(sample(prediction, truth))
    ours = evaluate(ISPRSMetric(), samples, ISPRS_CLASSES)
    theirs = evaluate(IoUMetric(iou_metrics=['mIoU', 'mFscore']), samples, ISPRS_CLASSES)
    assert ours['OA'] == pytest.approx(theirs['aAcc'], abs=0.011)
    assert ours['mIoU_all'] == pytest.approx(theirs['mIoU'], abs=0.011)
    f1 = [ours[f'F1.{name}'] for name in ISPRS_CLASSES]
    assert np.mean(f1) == pytest.approx(theirs['mFscore'], abs=0.011)
    assert ours['mF1'] == pytest.approx(np.mean(f1[:5]), abs=0.011)


def test_one_matrix_over_all_pixels_is_no_mean_over_tiles():
    right = sample([[0, 0, 0, 0]], [[0, 0, 0, 0]])
    wrong = sample([[0, 0]], [[1, 1]])
    metrics = evaluate(SegmentationMetric(), [right, wrong], ('road', 'house'))
    assert metrics['OA'] == 66.67
    assert metrics['IoU.road'] == 66.67


def test_absent_class_is_nan_and_in_no_mean():
    samples = [sample([[0, 0, 1]], [[0, 0, 1]])]
    metrics = evaluate(SegmentationMetric(), samples, ('road', 'house', 'car'))
    assert math.isnan(metrics['F1.car'])
    assert math.isnan(metrics['IoU.car'])
    assert metrics['mF1'] == metrics['mIoU_all'] == 100.0


def test_only_clutter_gives_nan_means_without_a_warning(recwarn):
    metrics = evaluate(ISPRSMetric(), [sample([[1, 1]], [[1, 1]])], ('road', 'clutter'))
    assert metrics['OA'] == metrics['mIoU_all'] == 100.0
    assert math.isnan(metrics['mIoU'])
    assert not [warning for warning in recwarn if warning.category is RuntimeWarning]


def test_log_marks_the_excluded_class_and_names_both_conventions(monkeypatch):
    lines = []
    monkeypatch.setattr(
        MMLogger.get_current_instance(), 'log', lambda level, message: lines.append(message)
    )
    evaluate(ISPRSMetric(), [sample([[0, 5]], [[0, 5]])], ISPRS_CLASSES)
    text = '\n'.join(lines)
    assert 'clutter (not in mF1, mIoU)' in text
    assert 'mIoU 100.00 over 5 classes (ISPRS protocol)' in text
    assert 'mIoU 100.00 over 6 classes (MMSeg)' in text
    assert 'Precision' in text


def test_log_names_the_split_that_the_samples_are_of(monkeypatch):
    lines = []
    monkeypatch.setattr(
        MMLogger.get_current_instance(), 'log', lambda level, message: lines.append(message)
    )
    tile = {**sample([[0, 1]], [[0, 1]]), 'split': "split='paper': its 14 test tiles"}
    evaluate(SegmentationMetric(), [tile, tile], ('road', 'house'))
    assert lines[-1].count("split='paper': its 14 test tiles") == 1


def test_log_of_classes_that_all_count_names_no_protocol(monkeypatch):
    lines = []
    monkeypatch.setattr(
        MMLogger.get_current_instance(), 'log', lambda level, message: lines.append(message)
    )
    evaluate(SegmentationMetric(), [sample([[0, 1]], [[0, 1]])], ('road', 'house'))
    summary = '\n'.join(lines).splitlines()[-1]
    assert summary == (
        'OA 100.00 over all 2 classes, mF1 100.00 over 2 classes, mIoU 100.00 over 2 classes'
    )


def test_predictions_are_written_as_mmsegs_test_command_asks(tmp_path):
    metric = ISPRSMetric(output_dir=str(tmp_path / 'out'), keep_results=True)
    metrics = evaluate(metric, [sample([[0, 5, 1]], [[0, 5, 2]])], ISPRS_CLASSES)
    assert metrics['OA'] == 66.67
    written = mmcv.imread(tmp_path / 'out' / 'tile.png', flag='unchanged')
    assert written.tolist() == [[0, 5, 1]]


def test_predictions_without_truth_are_written_and_not_measured(tmp_path):
    one = sample([[0, 1]], [[0, 1]])
    del one['gt_sem_seg']
    metric = SegmentationMetric(output_dir=str(tmp_path), format_only=True)
    assert evaluate(metric, [one], ('road', 'house')) == {}
    assert (tmp_path / 'tile.png').is_file()
    with pytest.raises(ValueError, match='format_only=True and no output_dir'):
        SegmentationMetric(format_only=True)


def test_predictions_of_two_folders_that_have_one_name_are_kept_apart(tmp_path):
    samples = [sample([[0, 1]], [[0, 1]]), sample([[1, 1]], [[0, 1]])]
    samples[1]['img_path'] = 'other/tile.tif'
    evaluate(SegmentationMetric(output_dir=str(tmp_path)), samples, ('road', 'house'))
    assert mmcv.imread(tmp_path / 'tile.png', flag='unchanged').tolist() == [[0, 1]]
    assert mmcv.imread(tmp_path / 'tile_2.png', flag='unchanged').tolist() == [[1, 1]]


def test_predictions_are_not_written_over_the_labels_that_they_are_measured_by(tmp_path):
    one = sample([[0, 1]], [[0, 1]])
    one['seg_map_path'] = str(tmp_path / 'tile.png')
    (tmp_path / 'tile.png').write_bytes(b'labels')
    with pytest.raises(ValueError, match=r'tile\.png would be written over .*tile\.png, which is'):
        evaluate(SegmentationMetric(output_dir=str(tmp_path)), [one], ('road', 'house'))
    assert (tmp_path / 'tile.png').read_bytes() == b'labels'


def test_labels_that_are_all_ignored_are_refused():
    with pytest.raises(ValueError, match='No labelled pixel in 1 samples'):
        evaluate(ISPRSMetric(), [sample([[0, 1]], [[255, 255]])], ISPRS_CLASSES)


def test_sample_without_truth_is_refused():
    one = sample([[0, 1]], [[0, 1]])
    del one['gt_sem_seg']
    with pytest.raises(ValueError, match=r'tile\.tif has no gt_sem_seg'):
        evaluate(ISPRSMetric(), [one], ISPRS_CLASSES)


def test_truth_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r'prediction of \(1, 1, 3\).*truth of \(1, 1, 2\)'):
        evaluate(ISPRSMetric(), [sample([[0, 1, 1]], [[0, 1]])], ISPRS_CLASSES)


def test_label_beyond_the_classes_is_refused():
    with pytest.raises(ValueError, match='class index 7 in its truth, but the dataset has 6'):
        evaluate(ISPRSMetric(), [sample([[0, 1]], [[0, 7]])], ISPRS_CLASSES)


def test_dataset_without_class_names_is_refused():
    with pytest.raises(ValueError, match='does not know the class names'):
        ISPRSMetric().process({}, [sample([[0]], [[0]])])


def test_excluded_class_that_the_dataset_lacks_is_refused():
    with pytest.raises(ValueError, match=r"excluded_classes=\('clutter',\) does not fit"):
        evaluate(ISPRSMetric(), [sample([[0]], [[0]])], ('water', 'forest'))
