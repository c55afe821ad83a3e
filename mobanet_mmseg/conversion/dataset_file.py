"""Writes the `_base_` file by which a config reads converted tiles.

It inherits nothing, so that it works wherever its folder is moved to; what it says of the reading
is what configs/_base_/datasets/pipeline.py says.
"""

from collections.abc import Sequence
from typing import Any

from mobanet_mmseg.classes import Classes

FACTS = '''"""Tiles of an optical and an auxiliary raster.

A `_base_` file: it stands where configs/_base_/datasets/multimodal.py would.
"""
# cut from {rgb} and {aux}
dataset_type = 'MultimodalSegDataset'
# the folder of this file, whatever its name
data_root = (lambda: None).__code__.co_filename.rpartition('/')[0]
{metainfo}
modality_channels = ({img_channels}, {aux_channels})
dataset = dict(
    type=dataset_type,
    data_root=data_root,
    metainfo=metainfo,
    data_prefix=dict(img_path='img', aux_path='aux', seg_map_path={label_folder!r}),
    img_bands={img_bands!r},
    aux_bands={aux_bands!r},
    aux_range={aux_range!r},
    label_values={label_values!r},
    # prediction reads these of other rasters than tiles: bands, and (value or colour, class) pairs
    tiled_from=dict(
        img_bands={tiled_from[img_bands]!r},
        aux_bands={tiled_from[aux_bands]!r},
        label_values={tiled_from[label_values]!r}))
crop_size = ({crop_size}, {crop_size})

# what the model and the hooks are told of a sample, besides its pixels
meta_keys = ('img_path', 'seg_map_path', 'window', 'ori_shape', 'img_shape', 'flip',
             'flip_direction', 'split')
test_pipeline = [
    dict(type='LoadMultimodalRaster'),
    dict(type='LoadRasterAnnotations'),
    dict(type='PackSegInputs', meta_keys=meta_keys)
]
# whole tiles, one at a time
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, ann_file='test.txt', test_mode=True, pipeline=test_pipeline))
'''
LABELLED = """metainfo = dict(
    classes={names},
    palette={palette!r})
num_classes = len(metainfo['classes'])"""
UNLABELLED = "metainfo = dict(classes=('class', ))  # those of the model that is to predict"
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
    sources: tuple[str, str],
    classes: Classes | None,
    img_bands: Sequence[int],
    aux_bands: Sequence[int],
    aux_range: Any,
    crop_size: int,
    *,
    tiled_from: dict[str, Any],
) -> str:
    """Compose the text of a `_base_` file for tiles under img/, aux/ and label/ beside it.

    Args:
        sources: Names of the optical and the auxiliary raster that the tiles were cut from.
        classes: The classes; None where the tiles have no labels: such a file serves tests of a
            model that states its own.
        img_bands: Bands of the optical tiles that are read.
        aux_bands: Bands of the auxiliary tiles that are read.
        aux_range: The dataset's ``aux_range``.
        crop_size: Side of a training window, pixels.
        tiled_from: See :class:`~mobanet_mmseg.datasets.multimodal.MultimodalSegDataset`.
    """
    metainfo = UNLABELLED
    if classes is not None:
        palette = [list(colour) for colour in classes.palette]
        metainfo = LABELLED.format(names=_literal(classes.names), palette=palette)
    facts = FACTS.format(
        rgb=_literal(sources[0]),
        aux=_literal(sources[1]),
        tiled_from=tiled_from,
        metainfo=metainfo,
        img_bands=tuple(img_bands),
        aux_bands=tuple(aux_bands),
        img_channels=len(img_bands),
        aux_channels=len(aux_bands),
        aux_range=aux_range,
        crop_size=crop_size,
        label_folder=None if classes is None else 'label',
        label_values=None if classes is None else tuple(range(len(classes))),
    )
    return facts + ('' if classes is None else TRAINING)


def _literal(value: Any) -> str:
    """Texts as Python reads them, in which MMEngine finds no {{ variable }} to put in."""
    return repr(value).replace('{', '\\x7b')
