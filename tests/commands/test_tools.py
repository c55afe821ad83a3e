"""The commands as a user types them, on real files; in a process of its own where that matters."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import mmseg
import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from scenes.commands import run, run_tool
from scenes.paths import ROOT

from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset
from mobanet_mmseg.weights.fingerprints import fingerprint_of

pytestmark = pytest.mark.slow

DEMO = """
_base_ = [{base!r}]
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False,
    sampler=dict(num_samples=8),
    dataset=dict(data_root={data!r}, tiles=['2_10', '2_11']))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root={data!r}, tiles=['2_13']))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
"""


@pytest.fixture(scope='module')
def city(tmp_path_factory):
    """A synthetic archive of three small tiles, the second with a DSM a column short."""
    root = tmp_path_factory.mktemp('city')
    options = ('--size', 288, '--gsd', 0.2, '--train', 2, '--test', 1)
    with pytest.MonkeyPatch.context() as patch:
        run_tool(patch, 'make_synthetic_isprs.py', root, *options)
    return root


@pytest.fixture(scope='module')
def trained(city, tmp_path_factory):
    """Folder with a config, its log and the checkpoint of one epoch."""
    folder = tmp_path_factory.mktemp('trained')
    base = str(ROOT / 'configs' / 'mobanet' / 'demo.py')
    (folder / 'config.py').write_text(DEMO.format(base=base, data=str(city)))
    drawn = ('--cfg-options', 'default_hooks.visualization.draw=True')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_tool(patch, 'train.py', 'config.py', '--work-dir', 'work', *drawn)
    return folder


def metrics(work_dir: Path) -> dict:
    """The newest metrics that a test wrote."""
    newest = max(work_dir.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())


def log_of(work_dir: Path) -> str:
    """The newest log of a work folder."""
    newest = max(work_dir.glob('*/*.log'), key=lambda path: path.stat().st_mtime)
    return newest.read_text()


def test_training_prints_its_parameters_and_the_metric_table(trained):
    log = log_of(trained / 'work')
    assert 'Trainable parameters: ' in log
    assert '(not in mF1, mIoU)' in log
    assert 'mIoU_all' in log
    assert (trained / 'work' / 'epoch_1.pth').exists()


def test_training_draws_its_validation_where_told_so(trained):
    (picture,) = trained.glob('work/*/vis_data/vis_image/*.png')
    assert picture.name == 'val_top_potsdam_2_13_RGB_2.png'  # after the second iteration
    assert picture.read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize('options', [(), ('--tta', 'd4')], ids=['plain', 'tta'])
def test_test_writes_metrics_label_maps_and_pictures_and_predict_the_same_map(
    trained, city, monkeypatch, capsys, options
):
    out = trained / f'out{len(options)}'
    monkeypatch.chdir(trained)
    model = ('config.py', 'work/epoch_1.pth')
    written = ('--out', out / 'maps', '--show-dir', out / 'pictures')
    run_tool(monkeypatch, 'test.py', *model, '--work-dir', out, *written, *options)
    assert 'mF1' in log_of(out)
    found = metrics(out)
    assert 0 <= found['mIoU'] <= 100
    with (
        rasterio.open(out / 'maps' / 'top_potsdam_2_13_RGB.tif') as label_map,
        rasterio.open(city / '2_Ortho_RGB' / 'top_potsdam_2_13_RGB.tif') as image,
    ):
        assert label_map.crs == image.crs == 'EPSG:32633'
        assert label_map.transform == image.transform
        predicted = label_map.read(1)
        assert predicted.shape == image.shape
    with rasterio.open(
        city / '5_Labels_all_noBoundary' / 'top_potsdam_2_13_label_noBoundary.tif'
    ) as label:
        colours = label.read()
    palette = ISPRSPotsdamDataset.METAINFO['palette']
    valid = colours.any(axis=0)
    right = sum(
        ((colours == np.array(colour)[:, None, None]).all(axis=0) & (predicted == index)).sum()
        for index, colour in enumerate(palette)
    )
    assert found['OA'] == pytest.approx(100 * right / valid.sum(), abs=0.01)
    assert len(list((out / 'pictures').glob('*.png'))) == 1
    capsys.readouterr()
    run_tool(
        *(monkeypatch, 'predict.py', *model),
        *('--rgb', city / '2_Ortho_RGB' / 'top_potsdam_2_13_RGB.tif'),
        *('--aux', city / '1_DSM' / 'dsm_potsdam_02_13.tif'),
        *('--label', city / '5_Labels_all' / 'top_potsdam_2_13_label.tif'),
        *('--out', out / 'map.tif', '--picture', out / 'map.png', '--device', 'cpu', *options),
    )
    assert 'map.png' in capsys.readouterr().out
    with rasterio.open(out / 'map.tif') as ours:
        np.testing.assert_array_equal(ours.read(1), predicted)
        assert ours.colormap(1)[1] == (0, 0, 255, 255)
    assert (out / 'map.png').read_bytes().startswith(b'\x89PNG')


def test_mmsegs_own_train_command_runs_our_config(trained):
    script = Path(mmseg.__path__[0]) / '.mim' / 'tools' / 'train.py'
    (trained / 'train_mmseg.py').write_text(
        'import runpy, mmengine.config.config\n'
        # the runner lays its config out for each file, which takes longer than the training
        'mmengine.config.config.FormatCode = lambda text, **options: (text, True)\n'
        f"runpy.run_path({str(script)!r}, run_name='__main__')\n"
    )
    run('train_mmseg.py', 'config.py', '--work-dir', 'mmseg', cwd=trained)
    assert (trained / 'mmseg' / 'epoch_1.pth').exists()


def test_mmsegs_init_model_loads_our_checkpoint(trained):
    from mmseg.apis import init_model

    model = init_model(
        str(trained / 'config.py'), str(trained / 'work' / 'epoch_1.pth'), device='cpu'
    )
    state = torch.load(trained / 'work' / 'epoch_1.pth', weights_only=True)['state_dict']
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.dataset_meta['classes'][1] == 'building'


def test_full_size_model_trains_resumes_and_tests(city, tmp_path, monkeypatch):
    """potsdam_dinov2_b.py itself, its weights a random file in mmpretrain's format."""
    config = ROOT / 'configs' / 'mobanet' / 'potsdam_dinov2_b.py'
    vit = dict(Config.fromfile(config).model.backbone.encoder, init_cfg=None)
    tensors = MODELS.build(vit).vit.state_dict()
    state = {f'backbone.{name}': value for name, value in tensors.items()}
    torch.save({'state_dict': state}, tmp_path / 'vit.pth')
    options = ['train_dataloader.batch_size=2', 'train_dataloader.sampler.num_samples=2']
    options += ['train_cfg.val_begin=3', 'model.backbone.encoder.init_cfg.checkpoint=vit.pth']
    options += ['default_hooks.checkpoint.interval=1']
    for split, tiles in (('train', '[2_10,2_11]'), ('val', '[2_13]'), ('test', '[2_13]')):
        loader = f'{split}_dataloader'
        options += [f'{loader}.dataset.data_root={city}', f'{loader}.dataset.tiles={tiles}']
        options += [f'{loader}.num_workers=0', f'{loader}.persistent_workers=False']
    monkeypatch.chdir(tmp_path)
    train = (monkeypatch, 'train.py', config, '--work-dir', 'work')
    run_tool(*train, '--cfg-options', *options, 'train_cfg.max_epochs=1')
    log = log_of(tmp_path / 'work')
    assert 'Trainable parameters: 6,182,530 (6.18 M of 92.8 M)' in log
    trained = torch.load(tmp_path / 'work' / 'epoch_1.pth', weights_only=True)['state_dict']
    assert torch.equal(trained['backbone.encoder.fingerprint'], fingerprint_of(tensors))
    assert not any(name.startswith('backbone.encoder.vit.') for name in trained)
    assert 24.7e6 < sum(value.nbytes for value in trained.values()) < 26e6  # of 371 MB
    # that was at the config's own size; smaller windows and one pass do for the rest
    options += ['train_dataloader.sampler.window_size=(126,140)', 'model.test_cfg.mode=whole']
    run_tool(*train, '--resume', '--cfg-options', *options, 'train_cfg.max_epochs=2')
    log = log_of(tmp_path / 'work')
    assert 'resumed epoch: 1, iter: 1' in log
    assert 'Epoch(train) [1]' not in log
    test = (config, 'work/epoch_2.pth', '--work-dir', 'test')
    run_tool(monkeypatch, 'test.py', *test, '--cfg-options', *options)
    assert 0 <= metrics(tmp_path / 'test')['mIoU_all'] <= 100


RGB_ALONE = """
_base_ = [{base!r}]
crop_size = (64, 64)
model = dict(
    pretrained=None,
    backbone=dict(depth=18, base_channels=8, stem_channels=8),
    decode_head=dict(in_channels=64, channels=8, c1_in_channels=8, c1_channels=4),
    auxiliary_head=dict(in_channels=32, channels=8),
    test_cfg=dict(crop_size=crop_size, stride=(48, 48)))
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False,
    sampler=dict(num_samples=8, window_size=crop_size),
    dataset=dict(data_root={data!r}, tiles=['2_10', '2_11']))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root={data!r}, tiles=['2_13']))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
default_hooks = dict(checkpoint=dict(interval=1))
"""


def test_a_stock_model_trains_and_tests_on_the_optical_image_alone(city, tmp_path, monkeypatch):
    for folder in ('2_Ortho_RGB', '5_Labels_all_noBoundary'):  # no heights
        (tmp_path / 'data' / folder).mkdir(parents=True)
        for path in (city / folder).iterdir():
            (tmp_path / 'data' / folder / path.name).symlink_to(path)
    base = str(ROOT / 'configs' / 'deeplabv3plus' / 'deeplabv3plus_r50_potsdam_rgb.py')
    (tmp_path / 'config.py').write_text(RGB_ALONE.format(base=base, data=str(tmp_path / 'data')))
    monkeypatch.chdir(tmp_path)
    run_tool(monkeypatch, 'train.py', 'config.py', '--work-dir', 'work')
    test = ('config.py', 'work/epoch_1.pth', '--work-dir')
    run_tool(monkeypatch, 'test.py', *test, 'ours', '--out', 'maps')
    monkeypatch.setattr(sys, 'argv', ['test.py', *test, 'theirs', '--out', 'pngs'])
    theirs = Path(mmseg.__path__[0]) / '.mim' / 'tools' / 'test.py'
    runpy.run_path(str(theirs), run_name='__main__')
    assert metrics(tmp_path / 'ours')['OA'] == metrics(tmp_path / 'theirs')['OA'] >= 0
    with (
        rasterio.open(tmp_path / 'maps' / 'top_potsdam_2_13_RGB.tif') as ours,
        rasterio.open(tmp_path / 'pngs' / 'top_potsdam_2_13_RGB.png') as png,
    ):
        np.testing.assert_array_equal(ours.read(1), png.read(1))


def test_training_without_the_weight_file_says_where_to_put_it(city, tmp_path, monkeypatch):
    config = ROOT / 'configs' / 'mobanet' / 'potsdam_dinov2_b.py'
    options = ['model.backbone.encoder.init_cfg.checkpoint=none.pth']
    for split in ('train', 'val', 'test'):
        options += [f'{split}_dataloader.dataset.data_root={city}']
        options += [f'{split}_dataloader.dataset.tiles=[2_10]']
    monkeypatch.chdir(tmp_path)
    said = 'none.pth does not exist: set model.backbone.encoder.init_cfg.checkpoint'
    with pytest.raises(SystemExit, match=said):
        run_tool(monkeypatch, 'train.py', config, '--work-dir', 'work', '--cfg-options', *options)


REAL = """
_base_ = [{base!r}]
classes = ('cultivated', 'forest', 'grassland', 'shrubland', 'artificial')
dataset = dict(
    _delete_=True, type='MultimodalSegDataset', data_root='data',
    data_prefix=dict(img_path='rgb', aux_path='dsm', seg_map_path='label'),
    metainfo=dict(
        classes=classes,
        palette=[[230, 200, 90], [30, 110, 40], [150, 210, 90], [180, 150, 90], [220, 50, 50]]),
    label_values=[1, 2, 3, 4, 8], label_ignore=[0])
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False,
    sampler=dict(num_samples=12, window_size=(64, 64)),
    dataset=dict(dataset, pipeline=_base_.train_pipeline))
val_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(dataset, test_mode=True, pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(excluded_classes=())
test_evaluator = val_evaluator
model = dict(
    decode_head=dict(num_classes=5, loss_decode=dict(class_weight=[1.0] * 5)),
    auxiliary_head=[dict(_base_.aux_head, in_index=4, num_classes=5),
                    dict(_base_.aux_head, in_index=5, num_classes=5)],
    test_cfg=dict(crop_size=(64, 64), stride=(48, 48)))
"""


def test_real_rasters_train_and_predict_on_their_own_grid(shared, tmp_path, monkeypatch):
    source = shared('real_data/eolearn')
    for kind in ('rgb', 'dsm', 'label'):
        (tmp_path / 'data' / kind).mkdir(parents=True)
        shutil.copyfile(source / f'{kind}.tif', tmp_path / 'data' / kind / 'tile.tif')
    base = str(ROOT / 'configs' / 'mobanet' / 'demo.py')
    (tmp_path / 'real.py').write_text(REAL.format(base=base))
    monkeypatch.chdir(tmp_path)
    overlapping = 'default_hooks.split_overlap.allow=True'  # one tile for both
    train = ('train.py', 'real.py', '--work-dir', 'work')
    run_tool(monkeypatch, *train, '--cfg-options', overlapping)
    rasters = ('--rgb', source / 'rgb.tif', '--aux', source / 'dsm.tif')
    model = ('real.py', 'work/epoch_1.pth', '--device', 'cpu')
    run_tool(monkeypatch, 'predict.py', *model, *rasters, '--out', 'map.tif')
    with rasterio.open(source / 'rgb.tif') as image, rasterio.open(tmp_path / 'map.tif') as ours:
        assert (ours.crs, ours.transform) == (image.crs, image.transform)
        assert (ours.height, ours.width) == (image.height, image.width)
        assert set(np.unique(ours.read(1))) <= {0, 1, 2, 3, 4, 255}
