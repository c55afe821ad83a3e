import numpy as np
import pytest
import torch
from mmpretrain.models.backbones.vit_sam import Attention
from scenes.encoders import TAPS, random_encoder, run, tiny_sam

from mobanet_mmseg.models.frozen_streams import build_encoder
from mobanet_mmseg.models.multimodal_vit import MultimodalViT
from mobanet_mmseg.models.sam import attend, relative_positions, resize_table


def test_upstream_sam_weights_give_upstream_features(shared):
    expected = np.load(shared('fixtures/sam_tiny_expected.npz'))
    arch = dict(embed_dims=64, num_layers=8, num_heads=2, feedforward_channels=256)
    encoder = build_encoder(
        tiny_sam(
            arch=dict(arch, global_attn_indexes=[1, 3, 5, 7]),
            img_size=128,
            init_cfg=dict(type='Pretrained', checkpoint=str(shared('fixtures/sam_tiny.pth'))),
        )
    )
    encoder.init_weights()
    encoder.eval()
    maps = run(encoder, torch.from_numpy(expected['native_input']), (1, 3, 5, 7))
    for tap, features in zip((1, 3, 5, 7), maps, strict=True):
        reference = torch.from_numpy(expected[f'native_block{tap}'])
        assert (features - reference).abs().max() <= 1e-5 * reference.abs().max()


@pytest.mark.parametrize('size', [(80, 112), (48, 96), (128, 64), (16, 32)])
def test_every_tap_equals_mmpretrains_own_forward(size):
    encoder = random_encoder(tiny_sam())
    encoder.vit.out_indices = TAPS
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        expected = encoder.vit(image)
    for features, reference in zip(run(encoder, image), expected, strict=True):
        assert (features - reference).abs().max() <= 1e-5 * reference.abs().max()


def test_taps_leave_through_the_neck_where_it_is_kept():
    encoder = random_encoder(tiny_sam(neck_channels=8))
    encoder.vit.out_indices = TAPS
    image = torch.rand(2, 3, 48, 96)
    with torch.no_grad():
        expected = encoder.vit(image)
    assert encoder.out_channels == 8
    torch.testing.assert_close(run(encoder, image), list(expected))


def test_attention_weighs_by_rows_and_columns_between_query_and_key():
    attention = Attention(embed_dims=2, num_heads=1, use_rel_pos=True, input_size=(2, 3))
    identity, zeros = torch.eye(2), torch.zeros(2, 2)
    with torch.no_grad():
        attention.qkv.weight.copy_(torch.cat([zeros, zeros, identity]))
        attention.qkv.bias.copy_(torch.tensor([1.0, 0, 0, 0, 0, 0]))  # every query is (1, 0)
        attention.proj.weight.copy_(identity)
        attention.proj.bias.zero_()
        # a key is weighed by 2 one row ahead, 4 one row behind, and by 3, 5, 1, 7, 9 by columns
        attention.rel_pos_h[:, 0] = torch.tensor([2.0, 1.0, 4.0]).log()
        attention.rel_pos_w[:, 0] = torch.tensor([3.0, 5.0, 1.0, 7.0, 9.0]).log()
        values = torch.tensor([[1.0, 10, 100], [1e3, 1e4, 1e5]])
        attended = attend(attention, torch.stack([values, -values], dim=-1)[None])[0]
    first = (1 * 1 + 5 * 10 + 3 * 100 + 2 * (1 * 1e3 + 5 * 1e4 + 3 * 1e5)) / 27
    last = (4 * (9 * 1 + 7 * 10 + 1 * 100) + (9 * 1e3 + 7 * 1e4 + 1 * 1e5)) / 85
    torch.testing.assert_close(attended[0, 0], torch.tensor([first, -first]))
    torch.testing.assert_close(attended[1, 2], torch.tensor([last, -last]))


def test_attentions_gradient_equals_mmpretrains():
    attention = Attention(embed_dims=8, num_heads=2, use_rel_pos=True, input_size=(2, 3)).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    inputs = torch.rand(2, 2, 3, 8, dtype=torch.float64, requires_grad=True)
    gradients = [
        torch.autograd.grad(forward(inputs).square().sum(), inputs)[0]
        for forward in (attention, lambda maps: attend(attention, maps))
    ]
    torch.testing.assert_close(*gradients)


def test_half_precision_stays_close():
    encoder = random_encoder(tiny_sam())
    image = torch.rand(1, 3, 48, 96)
    with torch.autocast('cpu', torch.bfloat16):
        halves = run(encoder, image)
    for half, whole in zip(halves, run(encoder, image), strict=True):
        assert (half - whole).abs().max() <= 0.05 * whole.abs().max()


def test_tables_of_another_length_are_resized_linearly():
    # target i of 5 samples source (i + 0.5) * 3 / 5 - 0.5 = -0.2, 0.4, 1.0, 1.6, 2.2
    resized = resize_table(torch.tensor([[0.0], [3.0], [6.0]]), 5)
    torch.testing.assert_close(resized[:, 0], torch.tensor([0.0, 1.2, 3.0, 4.8, 6.0]))


def test_relative_positions_run_from_keys_ahead_to_keys_behind():
    table = torch.arange(5.0)[:, None]
    found = relative_positions(table, 3)[..., 0]
    assert found.tolist() == [[2, 1, 0], [3, 2, 1], [4, 3, 2]]


def test_file_of_another_native_grid_gives_the_same_features_at_the_configs_grid(tmp_path):
    source = random_encoder(tiny_sam(img_size=144))  # 9 x 9
    torch.save(source.vit.state_dict(), tmp_path / 'sam.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'sam.pth'))
    target = build_encoder(tiny_sam(init_cfg=pretrained))
    target.init_weights()
    target.eval()
    image = torch.rand(1, 3, 80, 112)
    torch.testing.assert_close(run(target, image), run(source, image))


def test_file_of_other_windows_is_refused(tmp_path):
    torch.save(random_encoder(tiny_sam(window_size=2)).vit.state_dict(), tmp_path / 'sam.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'sam.pth'))
    with pytest.raises(ValueError, match=r'4 of another shape: .*rel_pos_h \(3, 8\) for \(5, 8\)'):
        build_encoder(tiny_sam(init_cfg=pretrained)).init_weights()


def test_both_streams_run_through_sam():
    model = MultimodalViT(tiny_sam(), out_indices=TAPS, allow_random_encoder=True).eval()
    model.init_weights()
    inputs = torch.rand(2, 4, 32, 48)
    rgb_maps, aux_maps = model(inputs)
    torch.testing.assert_close(list(rgb_maps), run(model.encoder, inputs[:, :3]))
    torch.testing.assert_close(list(aux_maps), run(model.encoder, inputs[:, 3:].repeat(1, 3, 1, 1)))
