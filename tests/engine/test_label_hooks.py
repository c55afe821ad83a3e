import numpy as np
import pytest
import rasterio
from scenes.channel_reader import TRUTH, run, write_experiment

RED = 0


@pytest.mark.parametrize('augmentation', [(), ('--tta',)], ids=['plain', 'tta'])
@pytest.mark.parametrize('metric', ['ISPRSMetric', 'IoUMetric'])
def test_tiles_without_labels_are_predicted_and_written(
    tmp_path, monkeypatch, augmentation, metric
):
    overrides = {
        'test_dataloader.dataset.data_prefix.seg_map_path': None,
        'test_evaluator': dict(type=metric),
    }
    write_experiment(tmp_path, channel=RED, **overrides)
    options = ('--out', 'maps', '--show-dir', 'pictures', *augmentation)
    run(monkeypatch, tmp_path, 'test.py', *options)
    with rasterio.open(tmp_path / 'maps' / 'tile.tif') as written:
        np.testing.assert_array_equal(written.read(1), TRUTH)
    assert (tmp_path / 'pictures' / 'tile.png').exists()
    assert 'nothing is measured' in next((tmp_path / 'work').glob('*/*.log')).read_text()
