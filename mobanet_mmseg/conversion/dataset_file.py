"""Writes the `_base_` file by which a config reads converted tiles."""

from collections.abc import Sequence
from typing import Any

HEAD = '''"""{title}

A `_base_` file: it stands where configs/_base_/datasets/multimodal.py would.
"""
dataset_type = 'MultimodalSegDataset'
data_root = '{{{{ fileDirname }}}}'  # the folder of this file
'''
LABELLED = """metainfo = dict(
    classes={classes!r},
    palette={palette!r})
num_classes = len(metainfo['classes'])
"""
DATASET = """modality_channels = ({img_channels}, {aux_channels})
dataset = dict(
    type=dataset_type,
    data_root=data_root,
    metainfo=metainfo,
    data_prefix=dict(img_path='img', aux_path='aux', seg_map_path={label_folder!r}),
    img_bands={img_bands!r},
    aux_bands={aux_bands!r},
    aux_range={aux_range},
    label_values={label_values!r})
crop_size = ({crop_size}, {crop_size})

meta_keys = ('img_path', 'seg_map_path', 'window', 'ori_shape', 'img_shape', 'flip',
             'flip_direction')
test_pipeline = [
    dict(type='LoadMultimodalRaster'),
    dict(type='LoadRasterAnnotations'),
    dict(type='PackSegInputs', meta_keys=meta_keys)
]
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, ann_file='test.txt', test_mode=True, pipeline=test_pipeline))
"""
TRAINING = """train_pipeline = [
    dict(type='LoadMultimodalRaster'),
    dict(type='LoadRasterAnnotations'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSegInputs', meta_keys=meta_keys)
]
train_dataloader = dict(
    batch_size=12,
    num_workers=4,
    persistent_workers=True,
    # an epoch is 12,000 windows: 1000 iterations
    sampler=dict(type='RandomWindowSampler', num_samples=12000, window_size=crop_size),
    dataset=dict(dataset, ann_file='train.txt', pipeline=train_pipeline))
val_dataloader = test_dataloader
val_evaluator = dict(type='SegmentationMetric')
test_evaluator = val_evaluator
"""


def dataset_file(
    title: str,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    img_bands: Sequence[int],
    aux_bands: Sequence[int],
    aux_range: str,
    crop_size: int,
) -> str:
    """Compose the text of a `_base_` file for tiles under img/, aux/ and label/ beside it.

    Args:
        title: First line of the file: what the tiles were made from.
        classes: Name of each class; none where the tiles have no labels: such a file serves tests
            of a model that states its own.
        palette: Red, green and blue of each class.
        img_bands: Bands of the optical tiles that are read.
        aux_bands: Bands of the auxiliary tiles that are read.
        aux_range: Source text of ``aux_range``.
        crop_size: Side of a training window, pixels.
    """
    values: dict[str, Any] = {
        'title': title.replace('\\', '/').replace('"', "'"),
        'classes': tuple(classes),
        'palette': [list(colour) for colour in palette],
        'img_bands': tuple(img_bands),
        'aux_bands': tuple(aux_bands),
        'img_channels': len(img_bands),
        'aux_channels': len(aux_bands),
        'aux_range': aux_range,
        'crop_size': crop_size,
        'label_folder': 'label' if classes else None,
        'label_values': tuple(range(len(classes))) if classes else None,
    }
    labelled = LABELLED if classes else UNLABELLED
    text = ''.join(part.format_map(values) for part in (HEAD, labelled, DATASET))
    return text + (TRAINING if classes else '')


UNLABELLED = """metainfo = dict(classes=('class', ))  # those of the model that is to predict
"""
