"""The temperature is fitted on, and divides, the logits that prediction softmaxes."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from scenes.calibration import TEMPERATURE, inputs_of, mean_logits, write_calibration
from scenes.commands import run_tool
from scenes.inferencer import write_tiny
from scenes.models import tiny_model
from scenes.rasters import read_raster, write_raster

from mobanet_mmseg.inference.calibration import (
    Calibrator,
    labelled_tiles,
    new_tiles,
    write_calibrated,
)
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.weights.checkpoints import CheckpointError


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('calibration')
    return (folder, *write_calibration(folder))


def loaded(trained, **options):
    return MultimodalInferencer(*trained[1:], device='cpu', **options)


def with_temperature(folder, checkpoint, value):
    content = torch.load(checkpoint, weights_only=True)
    content['meta']['temperature'] = value
    torch.save(content, folder / 'with.pth')
    return folder / 'with.pth'


def pixels_of(inferencer, tile, **options):
    pixels = list(Calibrator(inferencer, **options).pixels(tile))
    return [torch.cat(parts) for parts in zip(*pixels, strict=True)]


def test_logits_are_the_means_over_windows_where_there_are_labels(trained):
    folder, config, _ = trained
    inferencer = loaded(trained)
    tile = labelled_tiles(Config.fromfile(config), 'val')[0]
    logits, predicted, truth = pixels_of(inferencer, tile)
    expected = mean_logits(inferencer.model, inputs_of(folder, 'a'))[:, :, :-5].flatten(1).T
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    assert torch.equal(predicted, logits.argmax(dim=1))
    labels = read_raster(folder / 'label/a.tif')[:, :-5]
    assert np.array_equal(truth.numpy(), labels.ravel())


def test_probabilities_are_the_softmax_of_the_mean_logits_by_the_temperature(trained, tmp_path):
    """Also of logits that are means over symmetries, too."""
    folder, config, checkpoint = trained
    pair = folder / 'img/a.tif', folder / 'aux/a.tif'
    inferencer = loaded(trained, tta='flips')
    logits = pixels_of(inferencer, labelled_tiles(Config.fromfile(config), 'val')[0])[0]
    labels = inferencer(*pair).labels
    write_calibrated(checkpoint, tmp_path / 'copy.pth', 2.5, 'some tiles')
    mended = MultimodalInferencer(config, tmp_path / 'copy.pth', device='cpu', tta='flips')
    prediction = mended(*pair, probabilities=True, confidence=True)
    assert np.array_equal(prediction.labels, labels)
    shares = (logits / 2.5).softmax(dim=1).T.numpy()
    given = prediction.probabilities[:, :, :-5].reshape(3, -1)
    assert np.abs(given - shares).max() < 0.51 / 254
    sure = prediction.confidence[:, :-5].ravel()
    assert np.abs(sure - shares.max(axis=0)).max() < 0.51 / 254


def test_temperature_is_found_and_halves_check_each_other(trained):
    tiles = labelled_tiles(Config.fromfile(trained[1]), 'val')
    found = Calibrator(loaded(trained)).calibrate(tiles, tiles)
    assert found.temperature == pytest.approx(TEMPERATURE, rel=0.05)
    assert len(found.folds) == 2
    assert min(found.folds) < found.temperature < max(found.folds)
    assert found.num_sampled == found.before.num_pixels == found.after.num_pixels == 2 * 61 * 90
    assert found.after.summary['ECE'] < 2.5 < 8 < found.before.summary['ECE']
    assert found.after.summary['accuracy'] == found.before.summary['accuracy']


def test_tiles_that_were_not_fitted_on_are_checked(trained):
    first, second = labelled_tiles(Config.fromfile(trained[1]), 'val')
    shown = []
    calibrator = Calibrator(loaded(trained), show=shown.append)
    found = calibrator.calibrate([first], [first, second])
    assert shown == [first['img_path'], second['img_path']]
    assert (found.folds, found.num_sampled, found.before.num_pixels) == ((), 5490, 5490)
    alone = calibrator.calibrate([first], None)
    assert alone.temperature == found.temperature
    assert alone.before is None
    with pytest.raises(ValueError, match=r'a.tif is the one tile to fit and to check on'):
        calibrator.calibrate([first], [first])


def test_sample_is_even_bounded_and_follows_from_the_seed(trained):
    tiles = labelled_tiles(Config.fromfile(trained[1]), 'val')[:1]
    sizes, found = [], []
    for seed in (0, 0, 1):
        sample = Calibrator(loaded(trained), num_pixels=2000, seed=seed).calibrate(tiles, None)
        sizes.append(sample.num_sampled)
        found.append(sample.temperature)
    expected = 2000 * 90 / 95  # of all pixels, a nineteenth of which has no label
    assert all(abs(size - expected) < 4 * expected**0.5 for size in sizes)
    assert found[0] == found[1] != found[2]


def test_what_the_checkpoint_has_already_is_what_is_measured_before(trained, tmp_path):
    _, config, checkpoint = trained
    tiles = labelled_tiles(Config.fromfile(config), 'val')
    copy = with_temperature(tmp_path, checkpoint, TEMPERATURE)
    inferencer = MultimodalInferencer(config, copy, device='cpu')
    found = Calibrator(inferencer).calibrate(tiles[:1], tiles)
    assert found.temperature == pytest.approx(TEMPERATURE, rel=0.05)
    assert found.before.summary['ECE'] < 2.5


def test_copy_is_the_checkpoint_and_the_temperature_and_can_be_published(
    trained, tmp_path, monkeypatch
):
    checkpoint = trained[2]
    before = checkpoint.read_bytes()
    write_calibrated(checkpoint, tmp_path / 'copy.pth', 0.7, 'two tiles')
    assert checkpoint.read_bytes() == before
    content = torch.load(checkpoint, weights_only=True)
    run_tool(monkeypatch, 'misc/publish_checkpoint.py', tmp_path / 'copy.pth', tmp_path / 'a.pth')
    (published,) = tmp_path.glob('a-*.pth')
    copy = torch.load(published, weights_only=True)
    assert copy['meta'].pop('temperature') == 0.7
    assert copy['meta'].pop('temperature_fitted_on') == 'two tiles'
    assert copy['meta'] == content['meta']
    assert copy['state_dict'].keys() == content['state_dict'].keys()
    assert all(map(torch.equal, copy['state_dict'].values(), content['state_dict'].values()))


def test_single_channel_is_two_classes_by_its_threshold(trained, tmp_path):
    content = tiny_model()
    content.decode_head.update(num_classes=2, out_channels=1, threshold=0.45)
    content.decode_head.loss_decode.update(use_sigmoid=True)
    for head in content.auxiliary_head:
        head.update(num_classes=2)
    inferencer = MultimodalInferencer(*write_tiny(tmp_path, content), device='cpu')
    tile = labelled_tiles(Config.fromfile(trained[1]), 'val')[0]
    with pytest.raises(ValueError, match=r'a.tif has the class index 2, but the checkpoint has 2'):
        pixels_of(inferencer, tile)
    write_raster(tmp_path / 'a.tif', read_raster(trained[0] / 'label/a.tif').clip(0, 1))
    tile = {**tile, 'seg_map_path': str(tmp_path / 'a.tif')}
    logits, predicted, truth = pixels_of(inferencer, tile)
    assert logits.shape[1] == 2
    share = logits.softmax(dim=1)[:, 1]
    assert torch.equal(predicted, (logits[:, 1].sigmoid() > 0.45).long())
    torch.testing.assert_close(share, logits[:, 1].sigmoid())
    assert set(truth.tolist()) == {0, 1}


@pytest.mark.parametrize('value', [0.0, -1.0, float('nan'), float('inf'), '2'])
def test_temperature_that_is_none_is_refused(trained, tmp_path, value):
    _, config, checkpoint = trained
    copy = with_temperature(tmp_path, checkpoint, value)
    with pytest.raises(CheckpointError, match=r'has the temperature .*, which is no number above'):
        MultimodalInferencer(config, copy, device='cpu')


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        ({'val_dataloader': None}, r'The val_dataloader.dataset of .* is none'),
        ({'val_dataloader.dataset.type': 'ADE20KDataset'}, 'is ADE20KDataset'),
        ({'val_dataloader.dataset.data_prefix.seg_map_path': None}, 'The val set .* has no labels'),
    ],
)
def test_splits_of_no_use_are_refused(trained, options, sentence):
    config = Config.fromfile(trained[1])
    config.merge_from_dict(options)
    with pytest.raises(ValueError, match=sentence):
        labelled_tiles(config, 'val')


def test_tiles_are_known_by_their_files(tmp_path):
    for name in 'abc':
        (tmp_path / name).write_text(name)
    (tmp_path / 'link').symlink_to(tmp_path / 'a')
    tiles = [{'img_path': str(tmp_path / name)} for name in ('link', 'b', 'c')]
    known = [{'img_path': str(tmp_path / name)} for name in 'ab']
    assert new_tiles(tiles, known) == tiles[2:]
