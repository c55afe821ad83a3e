from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from mmengine.dataset import ConcatDataset
from mmseg.registry import DATASETS
from scenes.channel_reader import LEGEND, TRUTH, run, write_experiment

from mobanet_mmseg.engine.label_hooks import has_labels

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


def test_a_test_set_of_which_a_part_has_labels_is_refused_before_it_runs(tmp_path):
    write_experiment(tmp_path, channel=RED)
    part = {
        **{'type': 'MultimodalSegDataset', 'data_root': str(tmp_path / 'data')},
        **{'metainfo': LEGEND, 'test_mode': True},
    }
    labelled, bare = (
        DATASETS.build({**part, 'data_prefix': prefix})
        for prefix in (
            {'img_path': 'img', 'aux_path': 'aux', 'seg_map_path': 'label'},
            {'img_path': 'img', 'aux_path': 'aux'},
        )
    )

    def runner(*datasets):
        joined = ConcatDataset(list(datasets))
        return SimpleNamespace(test_dataloader=SimpleNamespace(dataset=joined))

    assert has_labels(runner(labelled, labelled)) and not has_labels(runner(bare, bare))
    with pytest.raises(ValueError, match='joins datasets with labels .* and some without'):
        has_labels(runner(labelled, bare))
