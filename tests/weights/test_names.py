import pytest
import torch
from scenes.encoders import (
    hugging_faces_names,
    metas_names,
    random_encoder,
    run,
    timms_names,
    tiny_dinov3,
    tiny_giant,
    tiny_sam,
)
from scenes.models import tiny_vit

from mobanet_mmseg.models.frozen_streams import build_encoder
from mobanet_mmseg.weights.names import PATCH_EMBEDDING, to_mmpretrain_names

DINOV2 = {
    'b': tiny_vit(),
    'g': tiny_giant(),
    'reg4': tiny_vit(num_registers=4),
}
PUBLISHERS = {'meta': metas_names, 'hugging_face': hugging_faces_names, 'timm': timms_names}


@pytest.mark.parametrize('publisher', PUBLISHERS)
@pytest.mark.parametrize('size', DINOV2)
def test_dinov2_of_every_publisher_gives_the_same_features(tmp_path, publisher, size):
    source = random_encoder(DINOV2[size])
    torch.save(PUBLISHERS[publisher](source.vit.state_dict()), tmp_path / 'weights.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'))
    target = build_encoder({**DINOV2[size], 'init_cfg': pretrained})
    target.init_weights()
    target.eval()
    image = torch.rand(1, 3, 28, 42)
    torch.testing.assert_close(run(target, image), run(source, image))


def test_metas_sam_gives_the_same_features_and_its_other_parts_are_left_out(tmp_path):
    source = random_encoder(tiny_sam())
    state = {f'image_encoder.{k}': v for k, v in metas_names(source.vit.state_dict()).items()}
    others = ('image_encoder.neck.0.weight', 'mask_decoder.iou_token.weight')
    torch.save({**state, **dict.fromkeys(others, torch.ones(2))}, tmp_path / 'sam.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'sam.pth'))
    target = build_encoder(tiny_sam(init_cfg=pretrained))
    target.init_weights()
    target.eval()
    image = torch.rand(1, 3, 32, 48)
    torch.testing.assert_close(run(target, image), run(source, image))


@pytest.mark.parametrize(
    ('given', 'name'),
    [
        ('blocks.0.attn.qkv.weight', 'layers.0.attn.qkv.weight'),
        ('blocks.3.norm2.bias', 'layers.3.ln2.bias'),
        ('blocks.1.mlp.fc1.weight', 'layers.1.ffn.layers.0.0.weight'),
        ('blocks.1.mlp.fc2.bias', 'layers.1.ffn.layers.1.bias'),
        ('blocks.1.mlp.lin1.weight', 'layers.1.ffn.layers.0.0.weight'),
        ('blocks.39.mlp.w12.weight', 'layers.39.ffn.w12.weight'),
        ('blocks.39.mlp.w3.bias', 'layers.39.ffn.w3.bias'),
        ('blocks.2.ls1.gamma', 'layers.2.attn.gamma1.weight'),
        ('blocks.2.ls2.gamma', 'layers.2.ffn.gamma2.weight'),
        ('blocks.2.attn.rel_pos_h', 'layers.2.attn.rel_pos_h'),
        ('patch_embed.proj.bias', 'patch_embed.projection.bias'),
        ('norm.weight', 'ln1.weight'),
        ('neck.2.weight', 'channel_reduction.2.weight'),
        ('embeddings.mask_token', 'mask_token'),
        ('embeddings.position_embeddings', 'pos_embed'),
        ('encoder.layer.11.norm1.weight', 'layers.11.ln1.weight'),
        ('encoder.layer.0.attention.output.dense.bias', 'layers.0.attn.proj.bias'),
        ('encoder.layer.0.layer_scale1.lambda1', 'layers.0.attn.gamma1.weight'),
        ('encoder.layer.0.mlp.weights_in.bias', 'layers.0.ffn.w12.bias'),
        ('layernorm.bias', 'ln1.bias'),
        ('reg_token', 'register_tokens'),
        ('storage_tokens', 'register_tokens'),
        ('embeddings.patch_embeddings.bias', 'patch_embed.projection.bias'),
        ('layer.7.norm1.weight', 'layers.7.ln1.weight'),
        ('model.layer.7.attention.o_proj.bias', 'layers.7.attn.proj.bias'),
        ('layer.7.mlp.up_proj.bias', 'layers.7.ffn.layers.0.0.bias'),
        ('layer.7.mlp.down_proj.bias', 'layers.7.ffn.layers.1.bias'),
        ('blocks.7.gamma_2', 'layers.7.ffn.gamma2.weight'),
        ('rope_embed.periods', 'rope_embed.periods'),
    ],
)
def test_a_name_becomes_mmpretrains(given, name):
    assert list(to_mmpretrain_names({given: torch.ones(1)})) == [name]


@pytest.mark.parametrize('config', [tiny_vit(), tiny_giant(), tiny_sam(), tiny_dinov3()])
def test_mmpretrains_own_names_stay(config):
    names = list(build_encoder(config).vit.state_dict())
    assert list(to_mmpretrain_names(dict.fromkeys(names, torch.ones(3, 1)))) == names


def test_a_gate_makes_a_swiglu_of_what_else_is_an_mlp():
    hugging_face = {
        f'layer.0.mlp.{part}_proj.bias': torch.full((2,), float(value))
        for part, value in (('up', 2), ('gate', 1), ('down', 3))
    }
    timm = {
        f'blocks.0.mlp.{part}.bias': torch.full((2,), float(value))
        for part, value in (('fc1_g', 1), ('fc1_x', 2), ('fc2', 3))
    }
    for given in (hugging_face, timm):
        renamed = to_mmpretrain_names(given)
        assert renamed['layers.0.ffn.w12.bias'].tolist() == [1, 1, 2, 2]
        assert renamed['layers.0.ffn.w3.bias'].tolist() == [3, 3]
        assert len(renamed) == 2


def test_keys_without_bias_get_one_of_0_and_masked_ones_are_0():
    renamed = to_mmpretrain_names(
        {
            'blocks.0.attn.q_bias': torch.tensor([1.0]),
            'blocks.0.attn.v_bias': torch.tensor([3.0]),
            'blocks.1.attn.qkv.bias': torch.tensor([1.0, -2.0, 3.0]),
            'blocks.1.attn.qkv.bias_mask': torch.tensor([1.0, 0.0, 1.0]),
        }
    )
    assert {name: value.tolist() for name, value in renamed.items()} == {
        'layers.0.attn.qkv.bias': [1, 0, 3],
        'layers.1.attn.qkv.bias': [1, 0, 3],
    }


def test_query_key_and_value_are_joined_in_this_order():
    stem = 'encoder.layer.0.attention.attention'
    parts = {f'{stem}.{n}.bias': torch.full((2,), i) for i, n in ((3, 'value'), (1, 'query'))}
    renamed = to_mmpretrain_names({**parts, f'{stem}.key.bias': torch.full((2,), 2)})
    assert renamed['layers.0.attn.qkv.bias'].tolist() == [1, 1, 2, 2, 3, 3]
    assert set(to_mmpretrain_names(parts)) == {
        'layers.0.attn.query.bias',
        'layers.0.attn.value.bias',
    }


@pytest.mark.parametrize(
    ('name', 'prefix'),
    [
        ('patch_embed.proj.weight', ''),
        ('backbone.patch_embed.projection.weight', 'backbone.'),
        ('image_encoder.patch_embed.proj.weight', 'image_encoder.'),
        ('model.embeddings.patch_embeddings.weight', 'model.'),
        ('dinov2.embeddings.patch_embeddings.projection.weight', 'dinov2.'),
        ('backbone.encoder.vit.patch_embed.projection.weight', 'backbone.encoder.vit.'),
    ],
)
def test_prefix_is_what_precedes_the_patch_embedding(name, prefix):
    assert PATCH_EMBEDDING.match(name)[1] == prefix
    assert PATCH_EMBEDDING.match(f'{name}s') is None
