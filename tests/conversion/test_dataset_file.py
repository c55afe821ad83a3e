import pytest
from mmengine.config import Config
from scenes.paths import ROOT

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.conversion.dataset_file import dataset_file

CLASSES = Classes(('a', "b's"), ((1, 2, 3), (4, 5, 6)))


def read(folder, *, sources=('rgb.tif', 'dsm.tif'), classes=CLASSES, aux_range='tile'):
    folder.mkdir()
    told = {'img_bands': (4, 3, 2), 'aux_bands': (1, 2), 'label_values': [(7, 0), ((0, 0, 1), 1)]}
    text = dataset_file(sources, classes, (1, 2, 3), (1, 2), aux_range, 256, tiled_from=told)
    (folder / 'dataset.py').write_text(text, encoding='utf-8')
    return Config.fromfile(folder / 'dataset.py')


def test_it_reads_as_the_template_of_the_repository_does(tmp_path):
    ours = read(tmp_path / 'out')
    template = Config.fromfile(ROOT / 'configs/_base_/datasets/multimodal.py')
    assert {*template} <= {*ours}
    for key in ('train_pipeline', 'test_pipeline', 'meta_keys', 'val_evaluator'):
        assert ours[key] == template[key]
    for split in ('train', 'val', 'test'):
        loaders = [config[f'{split}_dataloader'] for config in (ours, template)]
        kept, other = (loader.pop('dataset') for loader in loaders)
        assert loaders[0] == loaders[1]
        for key in ('pipeline', 'ann_file', 'test_mode'):
            assert kept.get(key) == other.get(key)


def test_it_states_what_was_written(tmp_path):
    config = read(tmp_path / 'out', aux_range=((0.0, 1.0), (12.5, 3.0)))
    assert config.modality_channels == (3, 2)
    assert config.num_classes == 2
    dataset = config.train_dataloader.dataset
    assert (dataset.img_bands, dataset.aux_bands) == ((1, 2, 3), (1, 2))
    assert dataset.aux_range == ((0.0, 1.0), (12.5, 3.0))
    assert dataset.metainfo == dict(classes=('a', "b's"), palette=[[1, 2, 3], [4, 5, 6]])
    assert dataset.label_values == (0, 1)
    assert dataset.tiled_from.label_values == [(7, 0), ((0, 0, 1), 1)]
    assert (dataset.tiled_from.img_bands, dataset.tiled_from.aux_bands) == ((4, 3, 2), (1, 2))


def test_tiles_without_labels_are_to_test_alone(tmp_path):
    config = read(tmp_path / 'out', classes=None)
    assert config.test_dataloader.dataset.data_prefix.seg_map_path is None
    assert not {'train_dataloader', 'val_dataloader', 'test_evaluator'} & {*config}


NAMES = (
    "owner's data", 'a "quoted" one', 'ends with "', "'", 'ü', '"""', "''' + f() + '''", ' ', '#',
    'a\\x', '\\', 'a\nimport nothing', '{{ fileDirname }}', '{{$HOME:x}}', '{{_base_.x}}',
)  # fmt: skip


@pytest.mark.parametrize('name', NAMES)
def test_any_name_of_a_folder_and_of_a_raster_is_read(tmp_path, name):
    sources = f'{name}\n\\.tif', '\\x{}{{ fileDirname }}.tif'
    classes = Classes((name, '{{ fileDirname }}'), CLASSES.palette)
    config = read(tmp_path / name, sources=sources, classes=classes)
    assert config.metainfo.classes == (name, '{{ fileDirname }}')
    assert config.data_root == config.test_dataloader.dataset.data_root == str(tmp_path / name)
