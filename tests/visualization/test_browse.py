import cv2
import numpy as np
import pytest
from scenes.checked_tiles import tiles_config
from scenes.commands import run_tool

from mobanet_mmseg.visualization import browse as module
from mobanet_mmseg.visualization.browse import MASK_COLOURS, browse


@pytest.fixture
def drawn(monkeypatch):
    """The samples that are drawn."""
    samples = []
    draw = module._draw
    monkeypatch.setattr(module, '_draw', lambda s, *rest: samples.append(s) or draw(s, *rest))
    return samples


def test_masks_of_mcrm_are_marked_in_half_of_each_batch(data, drawn):
    written = browse(tiles_config(data), data / 'out', num=8)
    assert len(written) == 8 and all(path.exists() for path in written)
    marked = [sample.masked.any(axis=(1, 2)).tolist() for sample in drawn]
    for batch in (marked[:4], marked[4:]):
        assert sorted(batch) == [[False, False]] * 2 + [[False, True], [True, False]]
    for sample, path in zip(drawn, written, strict=True):
        picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        striped = (picture == MASK_COLOURS[0]).all(axis=-1)
        assert striped.any() == sample.masked.any()
        for layer in sample.masked:  # a rectangle of MCRM's area
            if layer.any():
                assert 0.09 < layer.mean() < 0.31
                rows, cols = layer.any(axis=1), layer.any(axis=0)
                assert layer.sum() == rows.sum() * cols.sum()


def test_what_is_drawn_is_what_the_network_gets_in_the_units_of_the_raster(data, drawn):
    browse(tiles_config(data), data / 'out', num=4)
    for sample in drawn:
        assert sample.rgb.shape == (40, 48, 3) and sample.aux.shape == (40, 48, 1)
        optical, aux = sample.rgb[~sample.masked[0]], sample.aux[~sample.masked[1]]
        np.testing.assert_allclose(optical, optical.round(), atol=1e-3)
        assert aux.min() >= -1e-6 and aux.max() <= 1 + 1e-6
        np.testing.assert_allclose(sample.rgb[sample.masked[0]], 120, atol=1e-4)
        row, col = map(int, sample.name.split('_')[1:])
        assert sample.name == f'a_{row}_{col}' and sample.labels.max() <= 2


def test_the_same_seed_draws_the_same_pictures(data):
    first, second = (browse(tiles_config(data), data / name, num=4) for name in ('a', 'b'))
    for a, b in zip(first, second, strict=True):
        assert a.name == b.name and a.read_bytes() == b.read_bytes()


def test_two_folders_in_one_training_are_drawn(data, drawn):
    config = tiles_config(data)
    part = config.train_dataloader.dataset
    config.train_dataloader.dataset = {'type': 'ConcatDataset', 'datasets': [part, part]}
    assert len(browse(config, data / 'out', num=2)) == 2
    assert drawn[0].rgb.shape == (40, 48, 3) and drawn[0].aux.shape == (40, 48, 1)


def test_validation_samples_are_whole_and_unmasked(data, drawn):
    (path,) = browse(tiles_config(data), data / 'out', num=5, split='val')
    assert path.name == '000_b.png' and not drawn[0].masked.any()
    assert drawn[0].rgb.shape == (96, 128, 3)


def test_the_auxiliary_image_is_drawn_as_its_dataset_says(data):
    config = tiles_config(data)
    drawn = []
    for kind in ('height', 'sar'):
        config.val_dataloader.dataset.aux_kind = kind
        drawn.append(browse(config, data / kind, num=1, split='val')[0].read_bytes())
    assert drawn[0] != drawn[1]


def test_a_stock_preprocessor_and_tiles_without_labels_are_drawn(data, drawn):
    config = tiles_config(data, data_prefix={'img_path': 'rgb', 'aux_path': 'dsm'})
    config.model.data_preprocessor = {
        'type': 'SegDataPreProcessor', 'mean': [0.0] * 4, 'std': [1.0] * 4
    }  # fmt: skip
    (path,) = browse(config, data / 'out', num=1, split='test')
    assert drawn[0].labels is None and path.exists()


def test_the_optical_image_alone_is_drawn(data, drawn):
    config = tiles_config(data, data_prefix={'img_path': 'rgb', 'seg_map_path': 'labels'})
    config.model.data_preprocessor = {
        'type': 'SegDataPreProcessor', 'mean': [0.0] * 3, 'std': [1.0] * 3, 'size': (40, 48)
    }  # fmt: skip
    (path,) = browse(config, data / 'out', num=1)
    assert drawn[0].rgb.shape == (40, 48, 3) and drawn[0].aux.shape == (40, 48, 0)
    assert path.exists()


def test_the_command_draws_and_refuses_with_one_sentence(data, monkeypatch, capsys):
    def run(*options):
        tool = 'analysis_tools/browse_dataset.py'
        run_tool(monkeypatch, tool, data / 'config.py', '--out', data / 'out', *options)

    (data / 'config.py').write_text(tiles_config(data).pretty_text)
    run('--num', '3')
    assert f'3 pictures in {data}/out' in capsys.readouterr().out
    assert len(list((data / 'out').glob('*.png'))) == 3
    with pytest.raises(SystemExit, match='^error: 0 samples of train_dataloader'):
        run('--num', '0')
    with pytest.raises(SystemExit, match='^error: A sample has 4 channels, the data_preprocessor'):
        run('--cfg-options',
            'model.data_preprocessor.mean=[0.0,0.0,0.0]', 'model.data_preprocessor.std=[1,1,1]',
            'model.data_preprocessor.modality_channels=[2,1]')  # fmt: skip
