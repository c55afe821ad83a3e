import pytest
import torch
from mmseg.registry import MODELS
from scenes.encoders import random_encoder, tiny_dinov3, tiny_sam
from scenes.models import tiny_model, tiny_vit

from mobanet_mmseg.weights.checkpoints import (
    Architecture,
    CheckpointError,
    check_fit,
    describe_mismatch,
    read_checkpoint,
)


def checkpoint_of(config, classes=('a', 'b', 'c')):
    state_dict = MODELS.build(config).state_dict()
    return {'state_dict': state_dict, 'meta': {'dataset_meta': {'classes': classes}}}


@pytest.fixture
def model():
    return MODELS.build(tiny_model())


def test_a_models_own_checkpoint_fits_it(model):
    checkpoint = checkpoint_of(tiny_model())
    assert describe_mismatch(checkpoint, model) == ''
    parallel = {f'module.{name}': value for name, value in checkpoint['state_dict'].items()}
    assert describe_mismatch({'state_dict': parallel}, model) == ''
    assert describe_mismatch(checkpoint['state_dict'], model) == ''


@pytest.mark.parametrize('number', [float('nan'), float('inf'), -float('inf')])
def test_weights_that_are_not_finite_are_named(model, number):
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    tensors['neck.norms.0.bias'][1] = number
    said = rf'a\.pth holds numbers .* in 1 of its {len(tensors)} tensors: neck\.norms\.0\.bias; the'
    with pytest.raises(CheckpointError, match=said):
        check_fit('a.pth', {'state_dict': tensors}, model, 'do so')
    parallel = {f'module.{name}': value for name, value in tensors.items()}
    with pytest.raises(CheckpointError, match=r'tensors: module\.neck'):
        check_fit('a.pth', parallel, model, 'do so')


def test_buffers_that_are_meant_to_be_infinite_are_fine(model):
    model.register_buffer('mask', torch.tensor([0, -float('inf')]))
    check_fit('a.pth', {'state_dict': model.state_dict()}, model, 'do so')


def test_another_number_of_classes_is_the_only_thing_said(model):
    config = tiny_model()
    for head in (config.decode_head, *config.auxiliary_head):
        head.num_classes = 2
    said = describe_mismatch(checkpoint_of(config, ('road', 'roof')), model)
    assert said == 'it has 2 classes (road, roof) and the config has 3'


def test_another_encoder_goes_before_the_tensors_that_differ_with_it(model):
    arch = dict(embed_dims=32, num_layers=6, num_heads=2, feedforward_channels=32)
    config = tiny_model()
    config.backbone.encoder = tiny_vit(arch=arch, patch_size=7)
    config.neck.in_channels = 32
    assert describe_mismatch(checkpoint_of(config), model) == (
        'its encoder has 6 blocks of 32 channels on patches of 7 pixels and the config has one of '
        '4 blocks of 16 channels on patches of 14 pixels'
    )


def test_missing_left_over_and_misshapen_tensors_are_named(model):
    checkpoint = checkpoint_of(tiny_model())
    tensors = checkpoint['state_dict']
    tensors['extra.weight'] = torch.zeros(1)
    del tensors['backbone.aux_embed.projection.bias']
    tensors['neck.norms.0.bias'] = torch.zeros(7)
    assert describe_mismatch(checkpoint, model) == (
        'of its tensors 1 missing: backbone.aux_embed.projection.bias; '
        '1 left over: extra.weight; '
        '1 of another shape: neck.norms.0.bias (7,) for (16,)'
    )


def test_encoders_own_weights_are_no_checkpoint_of_the_model(model):
    weights = MODELS.build(tiny_vit()).vit.state_dict()
    said = describe_mismatch(weights, model)
    assert ' missing: backbone.encoder.vit.' in said
    assert ' left over: cls_token, pos_embed, ' in said


def test_error_is_one_sentence_with_source_finding_and_advice(model):
    with pytest.raises(
        CheckpointError,
        match=r'^a\.pth does not fit the config: of its tensors 1 left over: more; do so\.$',
    ):
        check_fit('a.pth', {**model.state_dict(), 'more': torch.ones(1)}, model, 'do so')


def test_a_checkpoint_is_read_or_refused_by_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'The checkpoint .*absent\.pth does not exist'):
        read_checkpoint(tmp_path / 'absent.pth')
    (tmp_path / 'page.pth').write_text('<html>not found</html>')
    with pytest.raises(CheckpointError, match=r'is no checkpoint .* that the training wrote\.$'):
        read_checkpoint(tmp_path / 'page.pth')


def test_an_architecture_is_said_in_words():
    registered = random_encoder(tiny_vit(num_registers=4)).vit.state_dict()
    sam = random_encoder(tiny_sam()).vit.state_dict()
    assert str(Architecture.of(registered)) == (
        'a DINOv2 of 4 blocks, 16 channels, patches of 14 and 4 registers'
    )
    dinov3 = random_encoder(tiny_dinov3()).vit.state_dict()
    assert str(Architecture.of(dinov3)) == (
        'a DINOv3 of 4 blocks, 16 channels, patches of 16 and 2 registers'
    )
    assert str(Architecture.of(sam)) == 'a SAM encoder of 4 blocks, 16 channels, patches of 16'
