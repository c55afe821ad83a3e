import os

import pytest
import torch
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from scenes.models import tiny_model, tiny_vit
from torch import nn

from mobanet_mmseg.weights.checkpoints import (
    CheckpointError,
    check_fit,
    describe_misfit,
    read_checkpoint,
)


class RunsCode:
    """Pickled, asks the reader to run a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def checkpoint_of(config, classes=('a', 'b', 'c')):
    state_dict = MODELS.build(config).state_dict()
    return {'state_dict': state_dict, 'meta': {'dataset_meta': {'classes': classes}}}


@pytest.fixture
def model():
    return MODELS.build(tiny_model())


def test_a_models_own_checkpoint_fits_it_however_it_is_wrapped(model):
    checkpoint = checkpoint_of(tiny_model())
    wrapped = SegTTAModel(model)
    for module in (model, wrapped, nn.DataParallel(model), nn.DataParallel(wrapped)):
        assert describe_misfit(checkpoint, module) == ''
    parallel = {f'module.{name}': value for name, value in checkpoint['state_dict'].items()}
    assert describe_misfit({'state_dict': parallel}, model) == ''
    assert describe_misfit(checkpoint['state_dict'], model) == ''


def test_another_number_of_classes_is_the_only_thing_said(model):
    config = tiny_model()
    for head in (config.decode_head, *config.auxiliary_head):
        head.num_classes = 2
    said = describe_misfit(checkpoint_of(config, ('road', 'roof')), model)
    assert said == 'it has 2 classes (road, roof) and the config has 3'


def test_another_encoder_goes_before_the_tensors_that_differ_with_it(model):
    arch = dict(embed_dims=32, num_layers=6, num_heads=2, feedforward_channels=32)
    config = tiny_model()
    config.backbone.encoder = tiny_vit(arch=arch, patch_size=7)
    config.neck.in_channels = 32
    assert describe_misfit(checkpoint_of(config), model) == (
        'its encoder has 6 blocks of 32 channels on patches of 7 pixels and the config has one of '
        '4 blocks of 16 channels on patches of 14 pixels'
    )


def test_missing_left_over_and_misshapen_tensors_are_named(model):
    checkpoint = checkpoint_of(tiny_model())
    tensors = checkpoint['state_dict']
    tensors['extra.weight'] = torch.zeros(1)
    del tensors['backbone.aux_embed.projection.bias']
    tensors['neck.norms.0.bias'] = torch.zeros(7)
    assert describe_misfit(checkpoint, model) == (
        'of its tensors 1 missing: backbone.aux_embed.projection.bias; '
        '1 left over: extra.weight; '
        '1 of another shape: neck.norms.0.bias (7,) for (16,)'
    )


def test_encoders_own_weights_are_no_checkpoint_of_the_model(model):
    weights = MODELS.build(tiny_vit()).vit.state_dict()
    said = describe_misfit(weights, model)
    assert ' missing: backbone.encoder.vit.' in said
    assert ' left over: cls_token, pos_embed, ' in said


def test_error_is_one_sentence_with_source_finding_and_advice(model):
    with pytest.raises(
        CheckpointError,
        match=r'^a\.pth does not fit the config: of its tensors 1 left over: more; do so\.$',
    ):
        check_fit('a.pth', {**model.state_dict(), 'more': torch.ones(1)}, model, 'do so')


def test_what_the_training_wrote_is_read(tmp_path):
    content = {'state_dict': {'a': torch.arange(6.0).reshape(2, 3)}, 'meta': {'epoch': 3}}
    for zipped in (True, False):
        torch.save(content, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
        read = read_checkpoint(tmp_path / 'a.pth')
        assert read['meta'] == content['meta']
        assert torch.equal(read['state_dict']['a'], content['state_dict']['a'])


def test_pages_cut_files_and_foreign_pickles_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'a': torch.rand(100, 100)}}, path)
    whole = path.read_bytes()
    for content in (b'', b'<!DOCTYPE html><html></html>', whole[:-100], whole[:1000]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r'a\.pth is no checkpoint that torch can read'):
            read_checkpoint(path)
    for content in ([1], torch.rand(2), {'state_dict': torch.rand(2)}):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=r'a\.pth is no checkpoint, it holds no dict'):
            read_checkpoint(path)


@pytest.mark.parametrize('zipped', [True, False])
def test_a_pickle_that_runs_code_runs_none(tmp_path, zipped):
    path, trace = tmp_path / 'a.pth', tmp_path / 'trace'
    evil = {'state_dict': {}, 'meta': RunsCode(f'touch {trace}')}
    torch.save(evil, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r'is no checkpoint that torch can read'):
        read_checkpoint(path)
    assert not trace.exists()


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'The checkpoint .*absent\.pth does not exist'):
        read_checkpoint(tmp_path / 'absent.pth')
