"""What stands for a frozen encoder in a state dict, and where it is found again."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint, load_state_dict
from mmseg.apis import init_model
from mmseg.registry import MODELS
from scenes.encoders import metas_names, random_encoder, tiny_sam
from scenes.models import tiny_model, tiny_vit
from scenes.paths import ROOT

from mobanet_mmseg.engine.complexity import build_without_memory
from mobanet_mmseg.models.adapters import WeightFile, encoders_of, leave_out, put_back
from mobanet_mmseg.weights.files import CheckpointError
from mobanet_mmseg.weights.fingerprints import with_origin

FINGERPRINT = 'backbone.encoder.fingerprint'
VIT = 'backbone.encoder.vit.'
SETTING = r'set model\.backbone\.encoder\.init_cfg\.checkpoint \(--cfg-options\)'


def model_of(file, **encoder):
    """Config of a toy MoBaNet whose encoder has its weights in a file."""
    config = tiny_model()
    pretrained = dict(type='Pretrained', checkpoint=str(file))
    config.backbone.update(encoder=tiny_vit(init_cfg=pretrained, **encoder))
    config.backbone.allow_random_encoder = False
    return config


def trained(config):
    """A model that began with its weight file, and whose other tensors have all been trained."""
    model = MODELS.build(config)
    model.init_weights()
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    return model


def checkpoint_of(model, folder=None):
    """What a training saves of a model."""
    content = {'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': ('a',)}}}
    ((prefix, encoder),) = encoders_of(model).items()
    content['meta']['frozen_encoders'] = {prefix[:-1]: encoder.describe()}
    leave_out(content, encoder, prefix, WeightFile.all_of(encoder, folder))
    return content


def same(one, other):
    """Whether two models have the same tensors, bit for bit."""
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.fixture
def file(tmp_path):
    """Weights of the toy encoder."""
    torch.save(random_encoder(tiny_vit()).vit.state_dict(), tmp_path / 'vit.pth')
    return tmp_path / 'vit.pth'


def test_a_round_trip_is_strict_and_bit_for_bit(file):
    model = trained(model_of(file))
    tensors = checkpoint_of(model)['state_dict']
    assert [name for name in tensors if '.encoder.' in name] == [FINGERPRINT]
    assert tensors.keys() - {FINGERPRINT} == {n for n in model.state_dict() if VIT not in n}
    for load in (torch.nn.Module.load_state_dict, load_state_dict):
        fresh = MODELS.build(model_of(file))  # random as yet
        load(fresh, tensors, strict=True)
        assert same(fresh, model)
        assert fresh.backbone.encoder.weights_given
        load(fresh, tensors, strict=True)  # has the weights by now
        assert same(fresh, model)
    assert FINGERPRINT in tensors


def test_files_of_half_the_size_give_the_same_encoder(tmp_path):
    state = metas_names(random_encoder(tiny_vit()).vit.state_dict())
    halves = {name: value.half() for name, value in state.items()}
    torch.save(halves, tmp_path / 'half.pth')
    torch.save({name: value.float() for name, value in halves.items()}, tmp_path / 'vit.pth')
    model = trained(model_of(tmp_path / 'half.pth'))
    fresh = MODELS.build(model_of(tmp_path / 'vit.pth'))
    fresh.load_state_dict(checkpoint_of(model)['state_dict'])
    assert same(fresh, model)


@pytest.mark.parametrize('kind', [tiny_vit, tiny_sam])
def test_resized_positions_stay_in_the_file(tmp_path, kind):
    native = dict(img_size=140) if kind is tiny_vit else {}
    torch.save(random_encoder(kind(**native)).vit.state_dict(), tmp_path / 'vit.pth')
    config = tiny_model()
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'vit.pth'))
    other = {} if kind is tiny_vit else dict(img_size=(96, 64))
    config.backbone.encoder = kind(init_cfg=pretrained, **other)
    model = trained(config)
    tensors = checkpoint_of(model)['state_dict']
    kept = {name.removeprefix(VIT) for name in tensors if name.startswith(VIT)}
    axes = ('layers.{}.attn.rel_pos_h', 'layers.{}.attn.rel_pos_w')
    tables = {axis.format(block) for axis in axes for block in (1, 3)}  # of global attention
    assert kept == ({'pos_embed'} if kind is tiny_vit else {'pos_embed', *tables})
    tensors[f'{VIT}pos_embed'] += 1e-3  # resized elsewhere
    fresh = MODELS.build(config)
    for _ in range(2):
        fresh.load_state_dict(tensors)
        assert torch.equal(fresh.backbone.encoder.vit.pos_embed, tensors[f'{VIT}pos_embed'])


def other_size(state):
    arch = dict(tiny_vit()['arch'], embed_dims=24, num_layers=6)
    return random_encoder(tiny_vit(arch=arch)).vit.state_dict()


def other_publisher(state):
    return metas_names(random_encoder(tiny_vit()).vit.state_dict())


def fine_tuned(state):
    state['layers.2.ln1.bias'][3] += 1e-6
    return state


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (other_size, r'other\.pth holds a DINOv2 of 6 blocks, 24 channels.* 4 blocks, 16 chan'),
        (other_publisher, r'other\.pth holds another one \(\w{8}\)'),
        (fine_tuned, r'other\.pth holds another one \(\w{8}\)'),
        (None, r'other\.pth does not exist'),
    ],
)
@pytest.mark.parametrize('given', [True, False], ids=['with weights', 'random'])
def test_another_encoder_is_refused_by_name(file, tmp_path, change, said, given):
    content = checkpoint_of(trained(model_of(file)))
    other = tmp_path / 'elsewhere' / 'other.pth'
    other.parent.mkdir()
    if change is not None:
        torch.save(change(torch.load(file, weights_only=True)), other)
    fresh = MODELS.build(model_of(other))
    if given and change in (other_publisher, fine_tuned):
        fresh.init_weights()
        said = rf"the model's own is another one \(\w{{8}}\); .*{said}"
    torch.save(content, tmp_path / 'epoch_1.pth')
    before = fresh.backbone.encoder.weights_given
    origin = r'epoch_1\.pth leaves out its frozen encoder \(a DINOv2 of 4 blocks, 16 channels'
    with pytest.raises(
        CheckpointError,
        match=rf'{origin}.* vit\.pth, fingerprint \w{{8}}\).*{said}.*{SETTING}',
    ):
        load_checkpoint(fresh, str(tmp_path / 'epoch_1.pth'))
    with pytest.raises(CheckpointError, match=rf'The checkpoint leaves out .*{said}.*{SETTING}'):
        fresh.load_state_dict(content['state_dict'])
    assert fresh.backbone.encoder.weights_given == before


def test_a_model_without_weights_and_file_is_refused_even_where_it_may_be_random(file):
    tensors = checkpoint_of(trained(model_of(file)))['state_dict']
    with pytest.raises(CheckpointError, match=r'at hand \(the config names no file of it\): set'):
        MODELS.build(tiny_model()).load_state_dict(tensors)


def test_the_file_is_found_beside_the_checkpoint(file, tmp_path):
    content = checkpoint_of(trained(model_of(file)))
    torch.save(content, tmp_path / 'epoch_1.pth')
    config = Config(dict(model=model_of('https://127.0.0.1:9/gone/vit.pth')))
    model = init_model(config, str(tmp_path / 'epoch_1.pth'), device='cpu')  # MMSeg's own
    assert same(model, trained_again(content, file))
    assert model.dataset_meta == {'classes': ('a',)}
    noted = with_origin(torch.load(tmp_path / 'epoch_1.pth', weights_only=True), 'epoch_1.pth')
    with pytest.raises(CheckpointError, match='cannot be fetched'):  # nothing is beside that one
        MODELS.build(config.model).load_state_dict(noted['state_dict'])


def trained_again(content, file):
    model = MODELS.build(model_of(file))
    model.load_state_dict(content['state_dict'])
    return model


def test_what_a_file_says_of_itself_opens_nothing(file, tmp_path):
    content = checkpoint_of(trained(model_of(file)))
    content['state_dict']._metadata['backbone.encoder']['origin'] = str(tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='The checkpoint leaves out'):
        MODELS.build(model_of('gone/vit.pth')).load_state_dict(content['state_dict'])


def test_an_encoder_stays_whole_where_no_file_gives_it_back(file, tmp_path):
    def refused(model, said, config=None):
        content = {'state_dict': model.state_dict()}
        encoder = encoders_of(model)['backbone.encoder.']
        with pytest.raises(CheckpointError, match=said):
            leave_out(content, encoder, 'backbone.encoder.', WeightFile.all_of(encoder, None))
        assert content['state_dict'].keys() == model.state_dict().keys()

    refused(MODELS.build(tiny_model()), 'the config names no weight file')
    refused(MODELS.build(model_of(file)), r'its weights are not those of .*vit\.pth')
    model = trained(model_of(file))
    model.backbone.encoder.vit.ln1.bias.requires_grad = True
    refused(model, 'it is trained')
    model = trained(model_of(file))
    file.unlink()
    refused(model, r'vit\.pth does not exist')
    refused(MODELS.build(model_of('https://127.0.0.1:9/vit.pth')), 'is not kept on this machine')


def test_averages_are_left_out_and_put_back_with_the_weights(file):
    model = trained(model_of(file))
    averages = {f'module.{name}': value for name, value in model.state_dict().items()}
    content = {'state_dict': model.state_dict(), 'ema_state_dict': dict(averages, steps=1)}
    encoder = model.backbone.encoder
    files = WeightFile.all_of(encoder, None)
    moved = {f'module.{VIT}cls_token': model.backbone.encoder.vit.cls_token + 1}
    averaged = {**content, 'ema_state_dict': {**averages, **moved}}
    with pytest.raises(CheckpointError, match='its weights are not those of'):
        leave_out(averaged, encoder, 'backbone.encoder.', files)
    leave_out(content, encoder, 'backbone.encoder.', files)
    assert f'module.{FINGERPRINT}' in content['ema_state_dict']
    assert not any(VIT in name for name in content['ema_state_dict'])
    assert put_back(content, encoder, 'backbone.encoder.', 'epoch_1.pth')
    assert content['state_dict'].keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(content['state_dict'][name], value)
        assert torch.equal(content['ema_state_dict'][f'module.{name}'], value)


def test_the_released_sizes():
    """Of the paper's network, 371 MB whole; what is not the encoder is 25 MB."""
    model = build_without_memory(
        Config.fromfile(ROOT / 'configs' / 'mobanet' / 'potsdam_dinov2_b.py')
    )
    sizes = {name: value.nbytes for name, value in model.state_dict().items()}
    assert sum(sizes.values()) == pytest.approx(371e6, abs=0.5e6)
    assert sum(size for name, size in sizes.items() if VIT not in name) + 32 < 26e6
