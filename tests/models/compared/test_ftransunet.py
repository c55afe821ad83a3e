import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from scenes.fingerprints import Fingerprint, check, count, model_base
from scenes.models import samples

from mobanet_mmseg.engine.complexity import build_without_memory
from mobanet_mmseg.models.compared.ftransunet import (
    Apart,
    FTransUNet,
    Mutual,
    StdConv2d,
    TransformerLayer,
)
from mobanet_mmseg.weights.files import CheckpointError

EXPECTED = Fingerprint(
    2.8776062,
    623.23509,
    -1208.3521,
    4.8802077,
    23.669202,
    (25062, 2780, 3601, 3285, 3045, 27763),
)
TINY = dict(
    img_size=32,
    base_channels=32,
    depths=(2, 1, 1),
    embed_dims=8,
    num_layers=3,
    num_heads=2,
    mutual_layers=(1, 1),
)


def tiny(**overrides) -> FTransUNet:
    return FTransUNet(**{**TINY, **overrides})


def jax_arrays() -> dict[str, np.ndarray]:
    """What a hybrid ViT of TINY's size is in a public checkpoint: 8 channels, 2 heads of 4."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    arrays = {
        'cls': draw(1, 1, 8),
        'head/kernel': draw(8, 5),
        'head/bias': draw(5),
        'pre_logits/kernel': draw(8, 8),
        'pre_logits/bias': draw(8),
        'conv_root/kernel': draw(7, 7, 3, 32),
        'gn_root/scale': draw(1, 1, 1, 32),
        'gn_root/bias': draw(1, 1, 1, 32),
        'embedding/kernel': draw(1, 1, 512, 8),
        'embedding/bias': draw(8),
        'Transformer/posembed_input/pos_embedding': draw(1, 1 + 3 * 3, 8),
        'Transformer/encoder_norm/scale': draw(8),
        'Transformer/encoder_norm/bias': draw(8),
    }
    channels = 32
    for block, units in enumerate((2, 1, 1)):
        inner = 32 << block
        for unit in range(units):
            name = f'block{block + 1}/unit{unit + 1}'
            shapes = {
                'conv1': (1, 1, channels, inner),
                'conv2': (3, 3, inner, inner),
                'conv3': (1, 1, inner, 4 * inner),
            }
            if unit == 0:
                shapes['conv_proj'] = (1, 1, channels, 4 * inner)
            for conv, shape in shapes.items():
                arrays[f'{name}/{conv}/kernel'] = draw(*shape)
                for part in ('scale', 'bias'):
                    arrays[f'{name}/{conv.replace("conv", "gn")}/{part}'] = draw(shape[-1])
            channels = 4 * inner
    for layer in range(3):
        name = f'Transformer/encoderblock_{layer}'
        for norm in ('LayerNorm_0', 'LayerNorm_2'):
            arrays[f'{name}/{norm}/scale'], arrays[f'{name}/{norm}/bias'] = draw(8), draw(8)
        attention = f'{name}/MultiHeadDotProductAttention_1'
        for part in ('query', 'key', 'value'):
            arrays[f'{attention}/{part}/kernel'] = draw(8, 2, 4)
            arrays[f'{attention}/{part}/bias'] = draw(2, 4)
        arrays[f'{attention}/out/kernel'], arrays[f'{attention}/out/bias'] = draw(2, 4, 8), draw(8)
        for part, shape in (('Dense_0', (8, 32)), ('Dense_1', (32, 8))):
            arrays[f'{name}/MlpBlock_3/{part}/kernel'] = draw(*shape)
            arrays[f'{name}/MlpBlock_3/{part}/bias'] = draw(shape[1])
    return arrays


def save(path, arrays):
    np.savez(path, **arrays)
    return dict(type='Pretrained', checkpoint=str(path))


def test_counts():
    network = build_without_memory(Config(dict(model=model_base('ftransunet'))))
    backbone, head = network.backbone, network.decode_head
    assert count(network) == 203_403_558  # the paper's 203.40 M
    assert count(backbone.rgb.root) == 9_536
    assert count(backbone.aux.root) == 3_264
    for stream in (backbone.rgb, backbone.aux):
        assert count(stream.stages) == 11_885_312
        assert count(stream.embed) == 787_200
        assert 2 * count(stream.layers[0]) == 14_175_744
        assert 2 * count(stream.norm) == 3_072
    assert [count(fusion) for fusion in backbone.fusions] == [1_160, 16_928, 66_624, 264_320]
    assert backbone.pos_embed.numel() == 196_608
    mutual = [count(mixture) for mixture in backbone.mixtures]
    assert mutual == [0, 0, 0, 4, 4, 4, 4, 4, 4, 0, 0, 0]
    blocks = [count(block) for block in head.blocks]
    assert [count(head.reduce), *blocks] == [3_539_968, 2_950_144, 737_792, 147_712, 11_584]
    assert count(head.conv_seg) == 870


@pytest.mark.slow
def test_logits_are_the_public_implementations():
    check(model_base('ftransunet'), EXPECTED)


def test_every_parameter_learns_on_a_rectangle():
    config = model_base('ftransunet')
    config.backbone.update(TINY, init_cfg=None)
    widths = (16, 16, 8, 8)
    config.decode_head.update(in_channels=[32, 128, 256, 8], channels=8, decoder_channels=widths)
    network = MODELS.build(config).train()
    inputs, labels = torch.rand(2, 4, 80, 48), torch.randint(0, 6, (2, 80, 48))
    network.loss(inputs, samples(labels))['decode.loss_ce'].backward()
    assert not [name for name, value in network.named_parameters() if value.grad is None]
    with torch.no_grad():
        assert network.eval()(inputs).shape == (2, 6, 80, 48)


def test_maps_of_a_rectangle():
    maps = tiny().eval()(torch.rand(1, 4, 32, 48))
    assert [tuple(level.shape) for level in maps] == [
        (1, 32, 16, 24),
        (1, 128, 8, 12),
        (1, 256, 4, 6),
        (1, 8, 2, 3),
    ]
    assert not maps[1][..., -1, :].any()  # the row and the column that pooling has taken
    assert not maps[1][..., -1].any()
    assert maps[1][..., :-1, :-1].any()


def test_filters_have_mean_0_and_variance_1():
    conv = StdConv2d(1, 1, 2, bias=False)
    conv.weight.data = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])  # mean 3, variance 14 / 4
    given = conv(torch.eye(2)[None, None]).item()
    assert given == pytest.approx((1 - 3 + 6 - 3) / 3.5**0.5, rel=1e-5)


def test_mutual_attention_weighs_what_each_stream_and_the_other_show():
    rgb, aux = (TransformerLayer(4, 2, 0.0).eval() for _ in range(2))
    of_rgb, of_aux = rgb.project(torch.rand(1, 3, 4)), aux.project(torch.rand(1, 5, 4))
    apart, mutual = Apart(), Mutual()
    for mixed, alone in zip(
        mutual(rgb, aux, of_rgb, of_aux), apart(rgb, aux, of_rgb, of_aux), strict=True
    ):
        assert mixed.shape == alone.shape
    mutual.rgb_self.data.fill_(0.0)
    mutual.rgb_cross.data.fill_(1.0)
    given, _ = mutual(rgb, aux, of_rgb, of_aux)
    query, key, value = of_rgb[0], of_aux[1], of_aux[2]
    weights = (query @ key.mT / 2**0.5).softmax(dim=-1)
    expected = rgb.out((weights @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(given, expected)


def test_a_public_checkpoint_goes_into_both_streams(tmp_path):
    arrays = jax_arrays()
    model = tiny(init_cfg=save(tmp_path / 'vit.npz', arrays))
    model.init_weights()
    root = torch.from_numpy(arrays['conv_root/kernel']).permute(3, 2, 0, 1)
    assert model.rgb.root.conv.weight.equal(root)
    assert model.aux.root.conv.weight.equal(root.mean(dim=1, keepdim=True))
    tokens = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
    for stream in (model.rgb, model.aux):
        attention = 'Transformer/encoderblock_2/MultiHeadDotProductAttention_1'
        query = np.einsum('nc,chd->nhd', tokens, arrays[f'{attention}/query/kernel'])
        query = (query + arrays[f'{attention}/query/bias']).reshape(5, 8)
        layer = stream.layers[2]
        torch.testing.assert_close(layer.query(torch.from_numpy(tokens)), torch.from_numpy(query))
        heads = tokens.reshape(5, 2, 4)
        out = np.einsum('nhd,hdc->nc', heads, arrays[f'{attention}/out/kernel'])
        out = out + arrays[f'{attention}/out/bias']
        torch.testing.assert_close(layer.out(torch.from_numpy(tokens)), torch.from_numpy(out))
        hidden = tokens @ arrays['Transformer/encoderblock_2/MlpBlock_3/Dense_0/kernel']
        hidden = hidden + arrays['Transformer/encoderblock_2/MlpBlock_3/Dense_0/bias']
        given = layer.ffn.layers[0][0](torch.from_numpy(tokens))
        torch.testing.assert_close(given, torch.from_numpy(hidden))
        shortcut = torch.from_numpy(arrays['block2/unit1/conv_proj/kernel'])
        assert stream.stages[1][0].downsample[0].weight.equal(shortcut.permute(3, 2, 0, 1))
        scale = torch.from_numpy(arrays['block1/unit2/gn3/scale'])
        assert stream.stages[0][1].gn3.weight.equal(scale)


def test_positions_of_another_grid_are_resized_and_the_class_tokens_left_out(tmp_path):
    arrays = jax_arrays()
    positions = np.full((1, 10, 8), 3.0, dtype=np.float32)
    positions[:, 0] = -100.0
    arrays['Transformer/posembed_input/pos_embedding'] = positions
    model = tiny(init_cfg=save(tmp_path / 'vit.npz', arrays))
    model.init_weights()
    torch.testing.assert_close(model.pos_embed.data, torch.full((1, 4, 8), 3.0))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'gn_root/bias': None}, '1 missing: root.gn.bias'),
        ({'block1/unit3/gn1/bias': np.zeros(4)}, r'1 left over: stages\.0\.2\.gn1\.bias'),
        ({'embedding/bias': np.zeros(9)}, r'embed\.bias \(9,\) for \(8,\)'),
        ({'Transformer/posembed_input/pos_embedding': None}, '1 missing: pos_embed'),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_the_names(tmp_path, change, message):
    arrays = {**jax_arrays(), **change}
    arrays = {name: value for name, value in arrays.items() if value is not None}
    model = tiny(init_cfg=save(tmp_path / 'vit.npz', arrays))
    with pytest.raises(CheckpointError, match=f'do not fit FTransUNet.*{message}'):
        model.init_weights()


def test_missing_and_other_files_are_said_in_a_sentence(tmp_path, monkeypatch):
    model = tiny(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'none.npz')))
    with pytest.raises(FileNotFoundError, match=r'does not exist: set model\.backbone\.init_cfg'):
        model.init_weights()
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    address = 'http://127.0.0.1:9/R50%2BViT-B_16.npz'  # the discard port: nothing listens
    with pytest.raises(FileNotFoundError, match=r'put it at .*/R50\+ViT-B_16\.npz'):
        tiny(init_cfg=dict(type='Pretrained', checkpoint=address)).init_weights()
    unsafe = save(tmp_path / 'unsafe.npz', {'conv_root/kernel': np.array([{}], dtype=object)})
    with pytest.raises(CheckpointError, match='no weight file that numpy can read'):
        tiny(init_cfg=unsafe).init_weights()
