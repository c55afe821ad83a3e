import re
import runpy
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.apis import init_model
from mmseg.registry import MODELS
from scenes.paths import ROOT

from mobanet_mmseg.engine.complexity import count_parameters
from mobanet_mmseg.inference.trained import load_segmentor

RELEASED = ROOT / 'configs' / 'mobanet' / 'potsdam_dinov2_b_released.py'
TOOL = ROOT / 'tools' / 'model_converters' / 'released2mobanet.py'
CLASSES = ('impervious_surface', 'building', 'low_vegetation', 'tree', 'car', 'clutter')

# Our names and the released ones; in this order.
OURS_TO_RELEASED = (
    (r'^backbone\.encoder\.vit\.', 'image_encoder.backbone.'),
    (r'^(image_encoder\.backbone)\.patch_embed\.projection\.', r'\1.patch_embed.proj.'),
    (r'^(image_encoder\.backbone)\.ln1\.', r'\1.norm.'),
    (r'^(image_encoder\.backbone)\.layers\.(\d+)\.ln', r'\1.blocks.\2.norm'),
    (r'^(image_encoder\.backbone)\.layers\.', r'\1.blocks.'),
    (r'\.ffn\.layers\.0\.0\.', '.mlp.fc1.'),
    (r'\.ffn\.layers\.1\.', '.mlp.fc2.'),
    (r'\.attn\.gamma1\.weight$', '.ls1.gamma'),
    (r'\.ffn\.gamma2\.weight$', '.ls2.gamma'),
    (r'^backbone\.aux_embed\.projection\.', 'image_encoder.extra_patch_embed.proj.'),
    (r'^backbone\.cpia\.(\d)\.reduce_rgb\.', r'image_encoder.peft_cpia_blocks.\1.D_fc1.'),
    (r'^backbone\.cpia\.(\d)\.reduce_aux\.', r'image_encoder.peft_cpia_blocks.\1.D_fc2.'),
    (r'^backbone\.cpia\.(\d)\.fuse\.', r'image_encoder.peft_cpia_blocks.\1.P_fc2.'),
    (r'^backbone\.cpia\.(\d)\.expand\.', r'image_encoder.peft_cpia_blocks.\1.U_fc1.'),
    (r'^backbone\.cpia\.(\d)\.tft_rgb\.(\w+)$', r'image_encoder.peft_cpia_blocks.\1.tfts_\2_rgb'),
    (r'^backbone\.cpia\.(\d)\.tft_aux\.(\w+)$', r'image_encoder.peft_cpia_blocks.\1.tfts_\2_dsm'),
    (r'^neck\.fusions\.(\d)\.reduce_rgb\.', r'image_encoder.peft_dgfm_blocks.\1.rgb_reduce.'),
    (r'^neck\.fusions\.(\d)\.reduce_aux\.', r'image_encoder.peft_dgfm_blocks.\1.dsm_reduce.'),
    (r'^neck\.fusions\.(\d)\.gate\.', r'image_encoder.peft_dgfm_blocks.\1.gate_net.'),
    (r'^neck\.norms\.', 'image_encoder.peft_fuse_norms.'),
    (r'^neck\.projections\.', 'image_encoder.dual_proj_layers.'),
    (r'\.conv\.weight$', '.0.weight'),
    (r'\.bn\.', '.1.'),
    (r'^decode_head\.psp_modules\.', 'decoder.ppm.stages.'),
    (r'^decode_head\.bottleneck\.', 'decoder.ppm.bottleneck.'),
    (r'^decode_head\.conv_seg\.', 'decoder.classifier.1.0.'),
    (r'^decode_head\.', 'decoder.'),
    (r'^auxiliary_head\.0\.', 'aux_head_rgb.'),
    (r'^auxiliary_head\.1\.', 'aux_head_dsm.'),
    (r'^(aux_head_\w+)\.convs\.0\.', r'\1.conv.'),
    (r'^(aux_head_\w+)\.conv_seg\.', r'\1.conv_out.0.'),
)


class RunsCode:
    def __reduce__(self):
        return print, ('this must never be printed',)


def write_config(path, embed_dims, num_layers, taps):
    """Write the released config around a small ViT on 5 x 5 patches of 14 pixels."""
    arch = dict(
        embed_dims=embed_dims,
        num_layers=num_layers,
        num_heads=2,
        feedforward_channels=4 * embed_dims,
    )
    encoder = dict(
        _delete_=True,
        type='DINOv2',
        arch=arch,
        img_size=70,
        patch_size=14,
    )
    backbone = dict(encoder=encoder, out_indices=taps, cpia=dict(prompt_dims=embed_dims // 4))
    model = dict(backbone=backbone, neck=dict(in_channels=embed_dims))
    path.write_text(f'_base_ = [{str(RELEASED)!r}]\nmodel = {model!r}\n')
    return path


def released_name(name):
    for pattern, replacement in OURS_TO_RELEASED:
        name = re.sub(pattern, replacement, name)
    return name


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path / 'config.py', embed_dims=16, num_layers=4, taps=(0, 1, 2, 3))


@pytest.fixture
def ours(config):
    """A state dict of our network, each tensor random."""
    state = MODELS.build(Config.fromfile(config).model).state_dict()
    return {
        name: torch.rand_like(value) if value.is_floating_point() else torch.tensor(7)
        for name, value in state.items()
    }


@pytest.fixture
def released(ours):
    """The same tensors under the released names, and DINOv2's mask token."""
    mask_token = {'image_encoder.backbone.mask_token': torch.ones(1, 16)}
    return {released_name(name): value for name, value in ours.items()} | mask_token


def convert(source, target, config):
    """Run the command."""
    with pytest.MonkeyPatch.context() as patch:
        arguments = [source, target, '--config', config]
        patch.setattr(sys, 'argv', ['released2mobanet.py', *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')


def relative_error(found, expected):
    expected = torch.from_numpy(expected)
    assert found.shape == expected.shape
    return ((found - expected).abs().max() / expected.abs().max()).item()


@torch.no_grad()
def test_released_network_gives_its_maps_and_logits_after_conversion(shared, tmp_path):
    checkpoint = shared('fixtures/mobanet_released_tiny.pth')
    expected = np.load(shared('fixtures/mobanet_released_tiny_expected.npz'))
    config = write_config(tmp_path / 'config.py', embed_dims=64, num_layers=12, taps=(2, 5, 8, 11))
    convert(checkpoint, tmp_path / 'out.pth', config)

    model = load_segmentor(config, tmp_path / 'out.pth')
    inputs = np.concatenate([expected['rgb'], expected['dsm'][:, None]], axis=1)
    inputs = torch.from_numpy(inputs)
    maps = model.extract_feat(inputs)
    size = tuple(inputs.shape[-2:])
    errors = {f'fused{i}': relative_error(maps[i], expected[f'fused{i}']) for i in range(4)}
    logits = model.encode_decode(inputs, [dict(img_shape=size)])
    errors['logits'] = relative_error(logits, expected['logits'])
    for name, head in zip(('logits_rgb', 'logits_dsm'), model.auxiliary_head, strict=True):
        logits = F.interpolate(head(maps), size, mode='bilinear', align_corners=False)
        errors[name] = relative_error(logits, expected[name])
    assert max(errors.values()) < 1e-5, errors


def test_names_of_the_released_file_are_the_inverse_of_ours(shared):
    lines = shared('fixtures/mobanet_released_keys.txt').read_text().splitlines()
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(RELEASED).model)
    names = {released_name(name) for name in model.state_dict()}
    assert names | {'image_encoder.backbone.mask_token'} == {line.split()[0] for line in lines}


def test_tensors_come_through_bit_equal(config, ours, released, tmp_path, capsys):
    torch.save(released, tmp_path / 'in.pth')
    convert(tmp_path / 'in.pth', tmp_path / 'made' / 'out.pth', config)
    content = torch.load(tmp_path / 'made' / 'out.pth', weights_only=True)
    assert f'out.pth: {len(ours)} tensors, for ' in capsys.readouterr().out
    assert list(content['state_dict']) == list(ours)
    assert all(torch.equal(content['state_dict'][name], ours[name]) for name in ours)
    assert content['meta']['dataset_meta']['classes'] == CLASSES
    assert [path.name for path in (tmp_path / 'made').iterdir()] == ['out.pth']


def test_converted_checkpoint_loads_like_one_that_training_wrote(config, ours, released, tmp_path):
    torch.save({'state_dict': released}, tmp_path / 'in.pth')
    convert(tmp_path / 'in.pth', tmp_path / 'out.pth', config)
    for model in (
        load_segmentor(config, tmp_path / 'out.pth'),
        init_model(str(config), str(tmp_path / 'out.pth'), device='cpu'),
    ):
        assert all(torch.equal(value, ours[name]) for name, value in model.state_dict().items())
        assert model.dataset_meta['classes'] == CLASSES
        assert model.dataset_meta['palette'][1] == [0, 0, 255]
        assert model.backbone.encoder.weights_given


def classes_7(released):
    return released | {'decoder.classifier.1.0.weight': torch.ones(7, 64, 1, 1)}


def mismatches(released):
    released = released | {
        'decoder.extra.weight': torch.ones(1),
        'image_encoder.peft_cpia_blocks.0.D_fc1.bias': torch.ones(5),
    }
    del released['aux_head_rgb.conv_out.0.weight'], released['image_encoder.backbone.cls_token']
    return released


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (classes_7, r'in\.pth was trained with 7 classes, but .*config\.py has 6 in its'),
        (
            mismatches,
            r'in\.pth does not fit the model of .*config\.py \(2 missing: '
            r'backbone\.encoder\.vit\.cls_token, auxiliary_head\.0\.conv_seg\.weight; '
            r'1 left over: decode_head\.extra\.weight; '
            r'1 of another shape: backbone\.cpia\.0\.reduce_rgb\.bias \(5,\) for \(4,\)\)',
        ),
        (lambda _: {'layer1.weight': torch.ones(1)}, r'none of its names begins.*layer1\.weight'),
        (lambda _: {'state_dict': RunsCode()}, r'in\.pth is no checkpoint that torch can read'),
        (lambda _: [1, 2], r'in\.pth is no checkpoint, it holds no dict'),
    ],
)
def test_file_of_something_else_is_refused(config, released, tmp_path, capsys, change, sentence):
    torch.save(change(released), tmp_path / 'in.pth')
    with pytest.raises(SystemExit, match=f'^error: .*{sentence}'):
        convert(tmp_path / 'in.pth', tmp_path / 'out.pth', config)
    assert not list(tmp_path.glob('*out.pth*'))
    assert 'never' not in capsys.readouterr().out


def test_missing_file_is_named(config, tmp_path):
    (tmp_path / 'in.pth').touch()
    with pytest.raises(SystemExit, match=r'none\.pth does not exist: give the \.pth file'):
        convert(tmp_path / 'none.pth', tmp_path / 'out.pth', config)
    with pytest.raises(SystemExit, match=r'none\.py does not exist: give configs/mobanet'):
        convert(tmp_path / 'in.pth', tmp_path / 'out.pth', tmp_path / 'none.py')


def test_input_is_never_overwritten(config, tmp_path):
    (tmp_path / 'in.pth').touch()
    with pytest.raises(SystemExit, match=r'would be written over'):
        convert(tmp_path / 'in.pth', tmp_path / 'in.pth', config)


def test_place_that_cannot_be_written_is_named(config, released, tmp_path):
    torch.save(released, tmp_path / 'in.pth')
    with pytest.raises(SystemExit, match=r'in\.pth/out\.pth could not be written'):
        convert(tmp_path / 'in.pth', tmp_path / 'in.pth' / 'out.pth', config)


def test_config_without_model_is_refused(released, tmp_path):
    torch.save(released, tmp_path / 'in.pth')
    (tmp_path / 'config.py').write_text('a = 1')
    with pytest.raises(SystemExit, match=r'config\.py has no model or no test_dataloader'):
        convert(tmp_path / 'in.pth', tmp_path / 'out.pth', tmp_path / 'config.py')


def test_released_config_is_the_released_network_to_the_last_weight():
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(RELEASED).model)
    parts = count_parameters(model)
    assert {part: count.trainable for part, count in parts.items()} == {
        'backbone.encoder': 0,
        'backbone.aux_embed': 452_352,
        'backbone.cpia': 4 * 520_512,
        'neck.fusions': 4 * (251_328 - 1_536),
        'neck.norms': 4 * 1_536,
        'neck.projections': 786_432,
        'decode_head': 669_568,
        'auxiliary_head': 2 * 591_872,
    }


def test_released_config_follows_the_released_recipe():
    config = Config.fromfile(RELEASED)
    loader = config.train_dataloader
    assert len(loader.dataset.tiles) == 23
    assert '7_10' not in loader.dataset.tiles
    assert config.test_dataloader.dataset.tiles == 'test'
    assert loader.batch_size == 24
    assert loader.sampler.num_samples == 24 * 1000
    assert config.optim_wrapper.optimizer.weight_decay == 0.05
    assert tuple(config.model.test_cfg.stride) == (32, 32)
