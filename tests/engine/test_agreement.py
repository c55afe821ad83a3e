import numpy as np
import pytest
from mmengine.config import Config
from scenes.paths import ROOT
from scenes.rasters import write_potsdam, write_raster
from scenes.training import run, write_training

from mobanet_mmseg.engine.agreement import ConfigError, check_agreement, disagreements

# each network once; test_configs.py builds them all
PATTERNS = ('m[io]*/*.py', '*/*_potsdam.py', '*/*_potsdam_rgb*.py')
CONFIGS = sorted({path for name in PATTERNS for path in ROOT.glob(f'configs/{name}')})
ALL = ('train', 'val', 'test')
HEADS = ('model.decode_head', 'model.auxiliary_head.0', 'model.auxiliary_head.1')
CE = 'CrossEntropyLoss'


def load(name='mobanet/demo', **changes):
    """A config of ours with changes, by keys whose dots are written as __."""
    config = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    config.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    return config


def said(name='mobanet/demo', splits=ALL, **changes):
    return disagreements(load(name, **changes), splits)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_our_configs_agree_with_themselves(path):
    assert disagreements(Config.fromfile(path), ALL) == []


def two_classes(**head):
    """Changes that give demo.py two classes, and its heads what else is said."""
    classes = dict(classes=('building', 'car'))
    changes = {f'{split}_dataloader.dataset.metainfo': classes for split in ALL}
    changes |= {f'{name}.num_classes': 2 for name in HEADS}
    return changes | {f'model.decode_head.{key}': value for key, value in head.items()}


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (
            {'model.decode_head.num_classes': 2},
            ['model.decode_head.num_classes=2, but the train dataset has 6 classes', '=6 there'],
        ),
        (
            {f'{name}.num_classes': 7 for name in HEADS},
            [', '.join(f'{name}.num_classes=7' for name in HEADS) + ', but', 'has 6 classes'],
        ),
        (
            {**two_classes(), 'model.auxiliary_head.1.num_classes': 6},
            ['model.auxiliary_head.1.num_classes=6, but the train dataset has 2 classes (building'],
        ),
        (
            {'val_dataloader.dataset.metainfo': dict(classes=('building', 'car'))},
            ['num_classes=6, but the val dataset has 2 classes (building, car)'],
        ),
        (
            {'model.auxiliary_head.0.ignore_index': 0},
            ['model.auxiliary_head.0.ignore_index=0, but the datasets mark', 'by 255'],
        ),
        ({'model.decode_head.out_channels': 3}, ['out_channels=3, but its num_classes is 6']),
        (
            two_classes(out_channels=1, loss_decode=dict(_delete_=True, type=CE)),
            ['out_channels=1, whose softmax is 1', 'loss_decode.use_sigmoid=True'],
        ),
        (
            two_classes(
                out_channels=1,
                loss_decode=[dict(type=CE, use_sigmoid=True)],
                sampler=dict(type='OHEMPixelSampler', thresh=0.9),
            ),
            ['model.decode_head.sampler asks', 'set model.decode_head.sampler=None'],
        ),
        (
            {'model.decode_head.loss_decode.class_weight': [1.0, 2.0]},
            ['model.decode_head.loss_decode.class_weight has 2 weights for 6 channels'],
        ),
        (
            {'model.auxiliary_head.0.in_index': 6},
            ['model.auxiliary_head.0.in_index=6, but there are 6 maps, 0 to 5'],
        ),
        ({'model.neck.unimodal': False}, ['in_index=4, but there are 4 maps, 0 to 3 (model.backb']),
        (
            {'model.backbone.out_indices': (0, 1, 3)},
            ['model.neck fuses 4 stages, but model.backbone.out_indices=(0, 1, 3)', 'num_stages=3'],
        ),
        (
            {'train_dataloader.num_workers': 0},
            ['train_dataloader.persistent_workers=True', 'num_workers is 0: set'],
        ),
        (
            {'test_dataloader.prefetch_factor': 4},
            ['test_dataloader.prefetch_factor=4, but test_dataloader.num_workers is 0', '=None'],
        ),
        (
            {'default_hooks.checkpoint.save_best': 'mAcc'},
            ['save_best names mAcc, which ISPRSMetric does not measure: choose of OA, mF1, mIoU'],
        ),
    ],
)  # fmt: skip
def test_parts_that_disagree_are_named_with_what_to_set(changes, words):
    sentences = said(**changes)
    assert any(all(word in text for word in words) for text in sentences), sentences


@pytest.mark.parametrize(
    ('name', 'changes', 'words'),
    [
        (
            'mobanet/demo',
            {f'{split}_dataloader.dataset.aux_bands': (1, 2) for split in ALL},
            [
                'model.data_preprocessor.modality_channels=(3, 1)',
                'model.backbone.modality_channels=(3, 1)',
                'len(model.data_preprocessor.mean)=4',
                'len(model.data_preprocessor.std)=4, but the train dataset gives 3 optical and 2',
                'make the model take (3, 2), 5 in all',
            ],
        ),
        (
            'mixing/early_fusion_r50_mcrm',
            {'model.backbone.in_channels': 3},
            ['model.backbone.in_channels=3, but the train dataset gives 3 optical and 1 auxiliary'],
        ),
        (
            'mixing/early_fusion_r50_random_mask',
            {'train_dataloader.dataset.img_bands': (1, 2, 3, 4)},
            ['.modality_channels=(3, 1)', '.fill)=4', 'gives 4 optical and 1 auxiliary channels'],
        ),
    ],
)
def test_channels_that_disagree_with_the_bands_are_all_named(name, changes, words):
    text, *_ = said(name, **changes)
    assert [word for word in words if word not in text] == [], text


def test_a_backbone_takes_three_channels_where_its_config_does_not_say():
    config = load('mixing/early_fusion_r50_mcrm')
    del config.model.backbone['in_channels']
    assert 'model.backbone.in_channels=3, but' in disagreements(config, ALL)[0]


def test_datasets_are_compared_through_their_wrappers():
    config = load()
    own = config.train_dataloader.dataset
    three = dict(own, metainfo=dict(classes=('car', 'tree', 'building')))
    parts = [own, dict(type='RepeatDataset', times=2, dataset=three)]
    config.train_dataloader.dataset = dict(type='ConcatDataset', datasets=parts)
    (text,) = disagreements(config, ALL)
    assert 'the train dataset has 3 classes (car, tree, building)' in text


def test_a_split_that_is_not_used_is_not_compared():
    changes = {'val_dataloader.dataset.metainfo': dict(classes=('tree', 'car'))}
    assert said(splits=('train', 'test'), **changes) == []


@pytest.mark.parametrize(
    ('samples', 'batch_size', 'processes', 'more'),
    [(9, 8, 1, 16), (3, 2, 1, 4), (17, 8, 2, 32)],
)
def test_an_epoch_that_ends_in_one_window_is_refused(
    monkeypatch, samples, batch_size, processes, more
):
    monkeypatch.setenv('WORLD_SIZE', str(processes))
    (text,) = said(
        launcher='pytorch',
        train_dataloader__batch_size=batch_size,
        train_dataloader__sampler__num_samples=samples,
    )
    assert f'num_samples={samples} ' in text or f'{samples} samples' in text
    assert f'draw {more} samples, or set train_dataloader.drop_last=True' in text


def test_batches_of_one_are_refused_whatever_their_number():
    (text,) = said(train_dataloader__batch_size=1)
    assert text.startswith('train_dataloader.batch_size is 1, of which a batch norm')


@pytest.mark.parametrize(
    ('name', 'changes'),
    [
        ('mobanet/demo', {'train_dataloader.sampler.num_samples': 10}),
        ('mobanet/demo', {'train_dataloader.drop_last': True}),
        ('mobanet/demo', {'model.decode_head.norm_cfg': dict(type='GN', num_groups=8)}),
        ('mobanet/demo', {'model.decode_head.pool_scales': (2, 3)}),
        ('mixing/vit_b_segformer_head', {'train_dataloader.batch_size': 8}),  # no pooling
    ],
)
def test_a_last_batch_that_trains_is_not_refused(name, changes):
    assert said(name, **{'train_dataloader.sampler.num_samples': 9, **changes}) == []


def test_norms_over_several_processes_take_one_sample_each(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    sync = {f'{name}.norm_cfg.type': 'SyncBN' for name in HEADS}
    assert said(launcher='pytorch', train_dataloader__batch_size=1, **sync) == []
    assert said(train_dataloader__batch_size=1, **sync) != []


def test_whole_tiles_of_a_shuffled_split_are_counted(tmp_path):
    write_potsdam(tmp_path, ['2_10', '2_11', '2_12'])
    config = load(train_dataloader__batch_size=2)
    config.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    data = dict(data_root=str(tmp_path), tiles=['2_10', '2_11', '2_12'])
    config.train_dataloader.dataset.update(data)
    (text,) = disagreements(config, ('train',))
    assert text.startswith('An epoch of 3 samples')


def test_a_validation_batch_of_two_sizes_is_refused(tmp_path):
    for name, width in (('a', 9), ('b', 9), ('c', 12)):
        for folder, bands in (('rgb', 3), ('dsm', 1)):
            write_raster(tmp_path / folder / f'{name}.tif', np.zeros((6, width, bands), np.uint8))
    config = load('mobanet/multispectral_dinov2_b')
    prefix = dict(img_path='rgb', aux_path='dsm', seg_map_path=None)
    own = dict(data_root=str(tmp_path), data_prefix=prefix, ann_file='')
    config.val_dataloader.update(batch_size=2)
    config.val_dataloader.dataset.update(own)
    (text,) = disagreements(config, ALL)
    assert 'val_dataloader.batch_size=2, but its tiles are of 2 sizes' in text
    assert 'a.tif 6 x 9' in text and 'c.tif 6 x 12' in text
    config.val_dataloader.dataset.pipeline.insert(1, dict(type='Resize', scale=(9, 6)))
    assert disagreements(config, ALL) == []
    config.val_dataloader.update(batch_size=1)
    config.val_dataloader.dataset.pipeline.pop(1)
    assert disagreements(config, ALL) == []


def test_several_sentences_stand_in_lines_of_their_own():
    changes = {'model.decode_head.num_classes': 2, 'train_dataloader.num_workers': 0}
    with pytest.raises(ConfigError, match=r'1 or more\.\nerror: model\.decode_head\.num_classes=2'):
        check_agreement(load(**changes), ('train',))


def test_train_and_test_refuse_before_anything_starts(tmp_path, monkeypatch):
    folder = write_training(tmp_path)
    changes = ('--cfg-options', 'model.decode_head.num_classes=2')
    for command in (('train',), ('test', 'absent.pth')):
        with pytest.raises(SystemExit, match=r'^error: model\.decode_head\.num_classes=2, but the'):
            run(monkeypatch, folder, *command, *changes)
    assert not (folder / 'work').exists()
