import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from scenes.paths import ROOT
from scenes.rasters import write_potsdam
from scenes.training import run, write_training

from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset, ISPRSVaihingenDataset
from mobanet_mmseg.datasets.splits import follow_split
from mobanet_mmseg.experiments import sides
from mobanet_mmseg.inference.calibration import labelled_tiles

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
COUNTS = {
    ('potsdam', 'paper'): (24, 14),
    ('potsdam', 'ssrs'): (18, 6),
    ('vaihingen', 'paper'): (16, 17),
    ('vaihingen', 'ssrs'): (12, 4),
}
SSRS = {
    'potsdam': (
        '2_10 2_12 3_11 3_12 4_11 4_12 5_10 5_12 6_7 6_8 6_9 6_10 6_12 7_7 7_8 7_9 7_10 7_11',
        '2_11 3_10 4_10 5_11 6_11 7_12',
    ),
    'vaihingen': ('1 3 7 11 13 17 23 26 28 32 34 37', '5 15 21 30'),
}


def load(name, **settings):
    config = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    config.update(settings)
    return config


def tiles_of(config):
    built = [DATASETS.build(dict(config[name].dataset, lazy_init=True)) for name in LOADERS]
    return [set(dataset.tiles) for dataset in built]


@pytest.mark.parametrize(('archive', 'split'), COUNTS)
def test_one_word_says_what_is_trained_validated_and_tested_on(archive, split):
    config = load(f'mobanet/{archive}_dinov2_b', split=split)
    follow_split(config)
    train, val, test = tiles_of(config)
    assert (len(train), len(test)) == COUNTS[archive, split]
    assert val == test
    assert not train & test
    assert (set(config.train_tiles), set(config.test_tiles)) == (train, test)


@pytest.mark.parametrize('archive', SSRS)
def test_the_published_recipes_of_ssrs_say_their_word_and_no_tiles(archive):
    config = load(f'cmfnet/cmfnet_{archive}_published')
    assert config.split == 'ssrs'
    said = [set(names.split()) for names in SSRS[archive]]
    assert [set(config.train_tiles), set(config.test_tiles)] == said
    follow_split(config)
    train, val, test = tiles_of(config)
    assert [train, test] == said
    assert val == test


@pytest.mark.parametrize('kind', [ISPRSPotsdamDataset, ISPRSVaihingenDataset])
def test_a_datasets_base_names_the_tiles_of_the_benchmark(kind):
    archive = kind.__name__.removeprefix('ISPRS').removesuffix('Dataset').lower()
    config = load(f'_base_/datasets/isprs_{archive}')
    assert config.split == 'paper'
    assert tuple(config.train_tiles) == kind.TRAIN_TILES
    assert tuple(config.test_tiles) == kind.TEST_TILES


def test_tiles_that_a_config_names_stay():
    for name in ('potsdam_dinov2_b_released', 'demo'):
        config = load(f'mobanet/{name}')
        tiles = [config[loader].dataset.get('tiles') for loader in LOADERS]
        names = config.train_tiles, config.test_tiles
        follow_split(config)
        assert [config[loader].dataset.get('tiles') for loader in LOADERS] == tiles
        assert (config.train_tiles, config.test_tiles) == names


def test_other_datasets_have_no_such_word():
    config = load('mobanet/flair_dinov2_b', split='anything')
    before = config.to_dict()
    follow_split(config)
    assert config.to_dict() == before


def test_a_word_that_is_no_split_and_two_words_are_refused():
    with pytest.raises(ValueError, match=r"has split='uavid': give one of \['paper', 'ssrs'\]"):
        follow_split(load('mobanet/vaihingen_dinov2_b', split='uavid'))
    config = load('mobanet/vaihingen_dinov2_b', split='paper')
    config.test_dataloader.dataset.split = 'ssrs'
    with pytest.raises(ValueError, match=r"'paper', but test_dataloader\.dataset\.split='ssrs': s"):
        follow_split(config)


def test_a_runner_follows_the_word_whatever_command_builds_it(monkeypatch):
    given = []
    monkeypatch.setattr(Runner, 'from_cfg', classmethod(lambda cls, cfg: given.append(cfg)))
    config = load('mobanet/vaihingen_dinov2_b', split='ssrs')
    RUNNERS.build(config)
    assert [len(tiles) for tiles in tiles_of(given[0])] == [12, 4, 4]
    assert 'split' not in config.train_dataloader.dataset  # it stays as it is


def test_label_maps_are_compared_on_the_tiles_of_the_word():
    config = load('mobanet/vaihingen_dinov2_b', split='ssrs')
    with pytest.raises(FileNotFoundError, match='12 of the 12 rasters of 4 tiles are missing'):
        next(sides.test_datasets(config))


@pytest.mark.parametrize('part', ['val', 'test'])
def test_a_temperature_is_fitted_and_checked_on_the_tiles_of_the_word(part):
    config = load('mobanet/vaihingen_dinov2_b', split='ssrs')
    with pytest.raises(FileNotFoundError, match='12 of the 12 rasters of 4 tiles are missing'):
        labelled_tiles(config, part)
    assert 'split' not in config[f'{part}_dataloader'].dataset  # it stays as it is


def test_a_training_follows_the_word_of_the_command_and_its_table_names_it(tmp_path, monkeypatch):
    folder = write_training(tmp_path)
    tiles = ISPRSPotsdamDataset.TRAIN_TILES
    write_potsdam(folder / 'data', tiles, (28, 42))
    follows = [
        f"{name}['dataset']['tiles'] = '{'train' if name.startswith('train') else 'test'}'\n"
        for name in LOADERS
    ]
    with (folder / 'config.py').open('a') as config:
        config.writelines(["\nsplit = 'paper'\n", *follows])
    options = ('--cfg-options', 'split=ssrs', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1')
    run(monkeypatch, folder, 'train', *options)
    (log,) = folder.glob('work/*/*.log')
    assert "split='ssrs': its 6 test tiles" in log.read_text()
    with pytest.raises(SystemExit, match=r"^error: The config has split='ssr': give one of"):
        run(monkeypatch, folder, 'train', '--cfg-options', 'split=ssr')
