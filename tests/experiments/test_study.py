import re
from pathlib import Path

import pytest
from mmengine.config import Config
from scenes.paths import ROOT
from scenes.studies import DEMO, write_study

from mobanet_mmseg.experiments.paper import COMPONENTS, ROBUSTNESS
from mobanet_mmseg.experiments.study import Study
from mobanet_mmseg.experiments.study_runs import city_tiles, config_of, plan, write_cities

STUDIES = ROOT / 'configs' / 'studies'
# as a user would write it: 15 lines
OF_POTSDAM = """
_base_ = '{base}'
title = 'How wide CPIA has to be'
config = '{config}'
seeds = [1, 2, 3]
options = dict(train_dataloader=dict(batch_size=4))
cells = dict(
    _delete_=True,
    narrow=dict(options=dict(model=dict(backbone=dict(cpia=dict(prompt_dims=58))))),
    paper=dict(title='as in the paper', paper='Full'),
    rgb=dict(modality='rgb', options=dict(model=dict(data_preprocessor=dict(mcrm=None)))))
datasets = dict(
    potsdam=dict(options={{
        f'{{split}}_dataloader.dataset.data_root': '/data' for split in ('train', 'test')}}),
    vaihingen=dict(config='{vaihingen}', cells=['paper']))
tables = dict(components=['narrow', 'paper'], robustness=[], masks=[])
"""


def read(folder, **changes):
    return Study.read(write_study(folder, **changes))


def test_a_users_study_of_potsdam_makes_its_runs(tmp_path):
    configs = ROOT / 'configs'
    text = OF_POTSDAM.format(
        base=configs / '_base_' / 'studies' / 'mobanet.py',
        config=configs / 'mobanet' / 'potsdam_dinov2_b.py',
        vaihingen=configs / '_base_' / 'datasets' / 'isprs_vaihingen.py',
    )
    assert len(text.strip().splitlines()) == 15
    (tmp_path / 'mine.py').write_text(text)
    parts = plan(Study.read(tmp_path / 'mine.py'), tmp_path / 'runs')
    assert [f'{part.data.key}/{part.cell.key}' for part in parts] == [
        'potsdam/narrow', 'potsdam/paper', 'potsdam/rgb', 'vaihingen/paper'
    ]  # fmt: skip
    narrow, paper, rgb, vaihingen = (part.runs for part in parts)
    assert [run.seed for run in narrow] == [1, 2, 3]
    assert narrow[1].folder == tmp_path / 'runs/potsdam/narrow/seed_2'
    assert rgb[0].modalities == ('rgb',) and paper[0].modalities == ('both', 'rgb', 'aux')
    made = [part[0] for part in (narrow, paper, rgb, vaihingen)]
    for index, run in enumerate(made):
        (tmp_path / f'{index}.py').write_text(run.text)
    one, full, optical, other = (Config.fromfile(tmp_path / f'{i}.py') for i in range(4))
    assert (one.model.backbone.cpia.prompt_dims, full.model.backbone.cpia.prompt_dims) == (58, 116)
    assert one.train_dataloader.batch_size == full.train_dataloader.batch_size == 4
    assert (
        one.train_dataloader.dataset.data_root == one.test_dataloader.dataset.data_root == '/data'
    )
    assert optical.model.data_preprocessor.modality == 'rgb'
    assert optical.model.data_preprocessor.mcrm is None
    assert other.test_dataloader.dataset.type == 'ISPRSVaihingenDataset'
    assert other.test_dataloader.dataset.data_root == 'data/vaihingen'
    assert other.val_dataloader is None  # the last checkpoint counts


def test_the_study_of_the_schedule_trains_as_long_as_it_says(tmp_path):
    study = Study.read(STUDIES / 'city_schedule.py')
    parts = plan(study, tmp_path)
    assert [part.cell.key for part in parts[:3]] == ['full_800', 'full_1600', 'full_3200']
    for part, iterations in zip(parts, (800, 1600, 3200) * 3, strict=True):
        config = config_of(study, part.cell, part.data)
        assert config.train_dataloader.batch_size * iterations == (
            config.train_dataloader.sampler.num_samples
        )
        assert [each.end for each in config.param_scheduler] == [iterations // 20, iterations]
    middle, own = parts[1], Config.fromfile(study.config)
    config = config_of(study, middle.cell, middle.data)
    assert config.param_scheduler == own.param_scheduler  # that of the network itself
    assert config.train_dataloader.sampler == own.train_dataloader.sampler


@pytest.mark.parametrize('name', ['city', 'potsdam'])
def test_our_studies_have_the_cells_of_the_paper(name, tmp_path):
    study = Study.read(STUDIES / f'{name}.py')
    parts = plan(study, tmp_path)
    cells = {part.cell.key: config_of(study, part.cell, part.data).model for part in parts}
    assert [part.cell.paper for part in parts[:4]] == [row for (row,) in COMPONENTS]
    assert [cells[key].data_preprocessor.get('mcrm') is None for key in study.cells] == [
        key in ('base', 'cpia', 'dgfm', 'hard', 'rgb', 'aux') for key in study.cells
    ]
    assert cells['base'].backbone.cpia is None and cells['base'].neck.gated is False
    assert cells['dgfm'].backbone.cpia is not None and cells['dgfm'].neck.get('gated', True)
    assert cells['hard'].auxiliary_head and cells['masks'].auxiliary_head is None
    assert cells['full'].data_preprocessor.mcrm.ratio == 0.25
    assert cells['anymodality'].data_preprocessor.mcrm.whole_ratio == 0.5
    assert not any(tmp_path.iterdir())  # until it runs


def test_a_study_of_the_city_reads_its_own_tiles(tmp_path):
    city = dict(root=str(tmp_path / 'city'), size=64, gsd=1.0, train=2, test=1)
    study = read(tmp_path, datasets=dict(city=dict(city=city)))
    (data,) = study.datasets.values()
    assert city_tiles(data) == {'train': ['2_10', '2_11'], 'test': ['2_13']}
    config = config_of(study, study.cells['full'], data)
    assert config.test_dataloader.dataset.tiles == ['2_13']
    assert config.train_dataloader.dataset.data_root == city['root']
    assert list(write_cities(study)) == [tmp_path / 'city']
    assert list(write_cities(study)) == []  # is there
    (tmp_path / 'city/5_Labels_all_noBoundary/top_potsdam_2_13_label_noBoundary.tif').unlink()
    assert list(write_cities(study)) == [tmp_path / 'city']  # its writing was stopped


def test_a_data_sets_classes_are_those_of_the_heads(tmp_path):
    (tmp_path / 'data.py').write_text(
        "train_dataloader = dict(dataset=dict(type='Two'))\n"
        "test_dataloader = dict(dataset=dict(type='Two'))\n"
        "test_evaluator = dict(type='SegmentationMetric')\nnum_classes = 2\n"
    )
    study = read(tmp_path, datasets=dict(two=dict(config='data.py')))
    config = config_of(study, study.cells['full'], study.datasets['two'])
    heads = [config.model.decode_head, *config.model.auxiliary_head]
    assert [head.num_classes for head in heads] == [2, 2, 2]
    assert config.train_dataloader.dataset == {'type': 'Two'}
    assert config.test_evaluator.type == 'SegmentationMetric'
    fresh = config_of(study, study.cells['full'], study.datasets['two'])
    assert fresh.train_dataloader.sampler == Config.fromfile(DEMO).train_dataloader.sampler


def test_a_data_set_is_of_the_split_that_its_config_names(tmp_path):
    configs = ROOT / 'configs'
    (tmp_path / 'ssrs.py').write_text(
        f"_base_ = ['{configs / '_base_' / 'datasets' / 'isprs_vaihingen.py'}']\nsplit = 'ssrs'\n"
    )
    datasets = dict(
        ssrs=dict(config='ssrs.py'), flair=dict(config=str(configs / '_base_/datasets/flair.py'))
    )
    network = configs / 'mobanet' / 'potsdam_dinov2_b.py'
    study = read(tmp_path, config=str(network), datasets=datasets, options={})
    cell = study.cells['full']
    found = [config_of(study, cell, data).get('split') for data in study.datasets.values()]
    assert found == ['ssrs', None]


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        (dict(cells=None), 'has no cells: configs/studies shows what a study is'),
        (dict(seed=1), 'has seed, which is none of cells, config, datasets,'),
        (dict(seeds=['a']), r"has seeds=\('a',\): give numbers from 0"),
        (dict(config=None), 'has no config, nor has its cell plain'),
        (dict(cells=dict(a=dict(option={}))), 'a has option, which is none of config, modality,'),
        (dict(cells=dict(a=dict(modality='dsm'))), "cell a has modality='dsm': 'rgb' or 'aux'"),
        (dict(cells=dict(a=dict(paper='Best'))), "paper='Best': give one of 'Base', 'Base"),
        (dict(tables=dict(masks=['plain', 'b'])), 'tables.masks names the cell b, which the st'),
        (dict(tables=dict(mask=[])), 'has mask, which is none of components, masks'),
        (dict(datasets=dict(d=dict(cells=['b']))), 'The data set d names the cell b, which'),
        (dict(datasets=dict(d=dict(city=dict(side=1)))), 'The city of d has side, which is none'),
        (dict(datasets=dict(d=dict(city=dict(size=9)))), 'The city of d has no root'),
    ],
)
def test_what_no_study_is_is_refused(tmp_path, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        read(tmp_path, **changes)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.py is neither a file'):
        Study.read(tmp_path / 'nowhere.py')
    with pytest.raises(FileNotFoundError, match=r'The study names the config none\.py, which is'):
        read(tmp_path, config='none.py')


def test_the_packages_own_studies_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Study.read(Path('studies/city')).title == Study.read(STUDIES / 'city.py').title
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'mobanet_mmseg::_base_/studies/mobanet.py'\n"
        "config = 'mobanet/potsdam_dinov2_b.py'\n"
        "datasets = dict(vaihingen=dict(config='_base_/datasets/isprs_vaihingen.py'))\n"
    )
    mine = Study.read(Path('mine.py'))
    assert mine.config.samefile(ROOT / 'configs/mobanet/potsdam_dinov2_b.py')


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        (
            dict(cells=dict(a=dict(options=dict(model=dict(type=dict(b=1)))))),
            r'The options of a on one do not fit .*demo\.py: ',
        ),
        (
            dict(datasets=dict(one=dict(city=dict(root='city', test=99)))),
            'The city of one has test=99; there are 14 such tiles',
        ),
        (
            dict(
                config=str(ROOT / 'configs/mixing/early_fusion_r50_random_mask.py'),
                cells=dict(a=dict(modality='rgb')),
            ),
            'normalises by SegDataPreProcessor, which cannot leave a modality out: give the cell a',
        ),
    ],
)
def test_what_cannot_be_planned_is_refused(tmp_path, changes, sentence):
    changes = dict(datasets=dict(one={}), tables={}) | changes
    with pytest.raises(ValueError, match=sentence):
        plan(read(tmp_path, **changes), tmp_path)


def test_values_of_tables_iv_and_v_are_those_of_the_papers_text(shared):
    lines = shared('paper/mobanet.txt').read_text().splitlines()
    (start,) = (index for index, line in enumerate(lines) if line.startswith('| Variant |'))
    printed = [re.findall(r'\d+\.\d+', line) for line in lines[start + 2 : start + 6]]
    assert [list(values.values()) for values in COMPONENTS.values()] == printed
    (both,) = (re.findall(r'\d+\.\d+', line) for line in lines if '| RGB + DSM |' in line)
    (rgb,) = (re.findall(r'\d+\.\d+', line) for line in lines if '| RGB-only |' in line)
    for name, place in (('Full', slice(3)), ('Base + CPIA + DGFM', slice(3, None))):
        assert [*ROBUSTNESS[name, 'both'].values()] == both[place]
        assert [*ROBUSTNESS[name, 'rgb'].values()] == rgb[place]
