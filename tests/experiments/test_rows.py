import re

import pytest
from mmengine.config import Config
from scenes.paths import ROOT
from scenes.rasters import write_potsdam

from mobanet_mmseg.experiments.cost import random_weights
from mobanet_mmseg.experiments.networks import BOTH, NETWORKS, OPTICAL, Network, choose_networks
from mobanet_mmseg.experiments.paper import COSTS, SCORES
from mobanet_mmseg.experiments.protocols import Protocol, Schedule, city_tiles
from mobanet_mmseg.experiments.rows import plan_rows

CONFIGS = ROOT / 'configs'
POTSDAM = CONFIGS / 'mobanet' / 'potsdam_dinov2_b.py'


def test_rows_of_the_paper_have_its_values():
    names = [network.paper for network in NETWORKS if network.paper]
    for names_of_all in zip(*((network.key, network.name) for network in NETWORKS), strict=True):
        assert len({*names_of_all}) == len(NETWORKS)
    for data in ('potsdam', 'vaihingen'):
        assert sorted(SCORES[data]) == sorted(names)
    assert set(COSTS) <= set(names)
    assert SCORES['potsdam']['MoBaNet-DINOv2-B']['mIoU'] == '87.80'
    assert SCORES['vaihingen']['MoBaNet-SAM-L']['car'] == '89.14'
    assert 'mIoU' not in SCORES['potsdam']['vFuseNet']  # not printed
    assert COSTS['MANet'].latency_ms == '105.36'


def test_values_are_those_of_the_papers_text(shared):
    lines = shared('paper/mobanet.txt').read_text().splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith('| Method |')]
    for start, data in zip(starts, ('vaihingen', 'potsdam'), strict=False):
        printed = [re.findall(r'\d+\.\d+', line) for line in lines[start + 2 : start + 20]]
        assert [list(scores.values()) for scores in SCORES[data].values()] == printed
    costs = [re.findall(r'\d+\.\d+', line) for line in lines[starts[2] + 2 : starts[2] + 9]]
    for cost, name, (*numbers, miou) in zip(COSTS.values(), COSTS, costs, strict=True):
        assert list(cost) == numbers
        assert SCORES['potsdam'][name]['mIoU'] == miou


def test_short_schedule_is_read_as_it_is_typed():
    assert Schedule.parse('paper') is None
    assert Schedule.parse('400x4') == Schedule(400, 4)
    assert str(Schedule(400, 4)) == '400x4'
    for wrong in ('400', '3x4', '400x1', '400 x 4', 'short'):
        with pytest.raises(ValueError, match=f"The schedule is '{wrong}': give 'paper'"):
            Schedule.parse(wrong)


def test_protocol_sets_data_window_and_schedule(tmp_path):
    write_potsdam(tmp_path, ['2_10', '2_13'])
    config = Config.fromfile(POTSDAM)
    Protocol('city', tmp_path, Schedule(40, 2), window=128).apply(config)
    for split, tiles in (('train', ['2_10']), ('test', ['2_13'])):
        dataset = config[f'{split}_dataloader'].dataset
        assert (dataset.data_root, dataset.tiles) == (str(tmp_path), tiles)
    sampler = config.train_dataloader.sampler
    assert (sampler.num_samples, sampler.window_size) == (80, (128, 128))
    assert config.train_dataloader.batch_size == 2
    assert config.model.test_cfg.crop_size == config.crop_size == (128, 128)
    assert config.model.test_cfg.stride == (64, 64)
    assert config.train_cfg.max_epochs == 1
    assert [(part.begin, part.end) for part in config.param_scheduler] == [(0, 4), (4, 40)]
    assert config.default_hooks.checkpoint.interval == 4
    assert config.optim_wrapper == Config.fromfile(POTSDAM).optim_wrapper


def test_papers_protocol_changes_nothing_of_the_papers_config():
    config = Config.fromfile(POTSDAM)
    Protocol('potsdam').apply(config)
    assert config.to_dict() == Config.fromfile(POTSDAM).to_dict()


def test_protocols_name_folders_of_their_own():
    assert Protocol('potsdam').slug == 'potsdam_paper'
    demonstration = Protocol('city', None, Schedule(400, 4), 128, from_scratch=True)
    assert demonstration.slug == 'city_400x4_window128_scratch'
    assert Protocol('vaihingen', window=None, published=True).slug == 'vaihingen_paper_published'


def test_rasters_of_ones_own_are_no_archive():
    config = Config.fromfile(CONFIGS / 'mobanet' / 'flair_dinov2_b.py')
    with pytest.raises(ValueError, match='reads a FLAIRDataset, .*: give --data own'):
        Protocol('potsdam').apply(config)


def test_a_city_without_tiles_says_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'make_synthetic_isprs\.py .* --train 8 --test 2'):
        city_tiles(tmp_path)


@pytest.mark.parametrize('name', ['potsdam_dinov2_b', 'potsdam_sam_b'])
def test_from_scratch_looks_for_no_file(name):
    config = Config.fromfile(CONFIGS / 'mobanet' / f'{name}.py')
    Protocol('potsdam', from_scratch=True).apply(config)
    assert config.model.backbone.encoder.init_cfg is None
    assert config.model.backbone.allow_random_encoder is True


def test_what_loads_a_file_is_found_wherever_it_is():
    constant = dict(type='Constant', val=1)
    loads = dict(type='Pretrained', checkpoint='a.pth')
    model = dict(
        type='EncoderDecoder',
        pretrained='open-mmlab://resnet50_v1c',
        backbone=dict(type='ResNetV1c', init_cfg=loads),
        neck=[dict(init_cfg=[constant, loads]), dict(init_cfg=constant)],
        decode_head=dict(pretrained=None),
    )
    assert dict(random_weights(model)) == {
        'model.pretrained': None,
        'model.backbone.init_cfg': None,
        'model.neck.0.init_cfg': [constant],
    }


def test_rows_are_those_that_are_asked_for_and_ones_own():
    assert choose_networks(None, []) == list(NETWORKS)
    rows = choose_networks(['tmfnet', 'mobanet_dinov2_b'], [POTSDAM])
    assert [row.key for row in rows] == ['tmfnet', 'mobanet_dinov2_b', 'potsdam_dinov2_b']
    assert rows[2].backbone == 'MultimodalViT'
    with pytest.raises(ValueError, match='There is no row resnet: choose of unet, '):
        choose_networks(['resnet'], [])
    with pytest.raises(ValueError, match='Two rows are called potsdam_dinov2_b'):
        choose_networks([], [POTSDAM, POTSDAM])
    with pytest.raises(FileNotFoundError, match=r'There is no config nowhere\.py'):
        Network.of_config(ROOT.joinpath('nowhere.py').relative_to(ROOT))


@pytest.mark.parametrize('data', ['potsdam', 'vaihingen'])
def test_all_rows_but_one_have_a_config_of_what_they_see(data):
    networks = [network for network in NETWORKS if not network.reason]
    for network in networks:
        config = Config.fromfile(network.find_config(CONFIGS, Protocol(data)))
        optical = config.test_dataloader.dataset.get('height', 'dsm') is None
        assert network.inputs == (OPTICAL if optical else BOTH), network.key
    assert len(networks) == len(NETWORKS) - 1


def test_a_row_without_a_run_has_its_reason(tmp_path):
    missing = Network('missing', 'Missing', '-', 'optical', 'missing/missing_{data}.py')
    networks = [*choose_networks(['tmfnet', 'mobanet_dinov2_b'], []), missing]
    rows = plan_rows(networks, CONFIGS, Protocol('vaihingen'), (1, 2), tmp_path, {})
    assert [len(row.runs) for row in rows] == [0, 2, 0]
    assert rows[0].reason == 'neither its code nor a full description is public'
    assert rows[2].reason == 'there is no config of it (missing_vaihingen.py)'
    assert [row.state for row in rows] == ['not run'] * 3
    run = rows[1].runs[1]
    assert (run.seed, run.folder) == (2, tmp_path / 'mobanet_dinov2_b' / 'seed_2')
    assert 'ISPRSVaihingenDataset' in run.text
