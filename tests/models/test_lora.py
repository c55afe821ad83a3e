from copy import deepcopy

import pytest
import torch
from scenes.encoders import TAPS, random_encoder, run, tiny_dinov3, tiny_giant, tiny_sam
from scenes.models import tiny_vit

from mobanet_mmseg.models.frozen_streams import build_encoder
from mobanet_mmseg.models.lora import LoRA, QueryValueUpdate
from mobanet_mmseg.models.multimodal_vit import MultimodalViT

ENCODERS = [tiny_vit, tiny_giant, tiny_sam, tiny_dinov3]
SIZE = (112, 224)  # multiples of 14 and of 16


def backbone(config=tiny_vit, **overrides):
    """A backbone of random weights, none of which is 0 but those that LoRA starts with."""
    settings = dict(out_indices=TAPS, adapter=dict(type='LoRA', rank=3), allow_random_encoder=True)
    model = MultimodalViT(config(), **{**settings, **overrides})
    torch.manual_seed(0)
    model.encoder.load_state_dict(random_encoder(config()).state_dict())
    model.aux_embed.start_from(model.encoder.projection)
    return model


def draw(model):
    """Let updates change something."""
    for update in model.adapter.updates:
        torch.nn.init.normal_(update.up, std=0.2)


def gradients(model, inputs):
    model.zero_grad()
    sum(m.square().sum() for maps in model(inputs) for m in maps).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize('config', ENCODERS)
@torch.no_grad()
def test_untrained_updates_leave_the_features_of_the_encoder(config):
    inputs = torch.rand(2, 4, *SIZE)
    plain, updated = backbone(config, adapter=None)(inputs), backbone(config)(inputs)
    torch.testing.assert_close(updated, plain, rtol=0, atol=0)


@pytest.mark.parametrize('config', ENCODERS)
@torch.no_grad()
def test_a_stream_merged_into_one_vit_gives_its_features(config, tmp_path):
    model = backbone(config)
    draw(model)
    torch.nn.init.normal_(model.aux_embed.projection.weight, std=0.2)
    inputs = torch.rand(2, 4, *SIZE)
    updated, before = model(inputs), deepcopy(model.encoder.state_dict())
    file = tmp_path / 'merged.pth'
    alone = build_encoder(config(init_cfg=dict(type='Pretrained', checkpoint=str(file)))).eval()
    for stream, image in enumerate([inputs[:, :3], inputs[:, 3:].repeat(1, 3, 1, 1)]):
        torch.save({f'backbone.{name}': w for name, w in model.merged(stream).items()}, file)
        alone.init_weights()
        for given, merged in zip(updated[stream], run(alone, image), strict=True):
            assert (given - merged).abs().max() <= 1e-6 * merged.abs().max()
    plain = backbone(config, adapter=None)(inputs)
    assert all(not torch.allclose(updated[i][0], plain[i][0]) for i in (0, 1))
    torch.testing.assert_close(model.encoder.state_dict(), before, rtol=0, atol=0)


def test_queries_and_values_of_a_stream_are_updated_by_its_own_matrices():
    update = QueryValueUpdate(embed_dims=2, rank=1, scale=2.0)
    with torch.no_grad():
        update.down.copy_(torch.tensor([[[[1.0, 0]], [[0, 1.0]]], [[[1.0, 1.0]], [[0, 0]]]]))
        update.up.copy_(torch.tensor([[[[1.0], [2]], [[3], [4]]], [[[5], [6]], [[7], [8]]]]))
        tokens = torch.tensor([10.0, 100.0]).expand(2, 1, 2)  # one token a stream
        qkv = update(None, (tokens,), torch.ones(2, 1, 6))
    # rgb: q += 2 * 10 * (1, 2), v += 2 * 100 * (3, 4); aux: q += 2 * 110 * (5, 6), v += 0
    assert qkv[0, 0].tolist() == [21, 41, 1, 1, 601, 801]
    assert qkv[1, 0].tolist() == [1101, 1321, 1, 1, 1, 1]


def test_alpha_over_the_rank_is_the_scale():
    scales = [LoRA(8, 1, rank=4, alpha=alpha).updates[0].scale for alpha in (None, 2)]
    assert scales == [1.0, 0.5]


@pytest.mark.parametrize('settings', [{}, dict(with_cp=True), dict(cpia=dict(prompt_dims=4))])
def test_a_step_moves_the_updates_and_leaves_the_encoder_bit_equal(settings):
    model = backbone(**settings).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):
        gradients(model, torch.rand(2, 4, 28, 42))
        optimizer.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith('encoder.'), name


@pytest.mark.parametrize('config', ENCODERS)
def test_checkpointed_activations_give_the_same_gradients(config):
    model, inputs = backbone(config).train(), torch.rand(2, 4, *SIZE)
    draw(model)
    found = []
    for model.with_cp in (False, True):
        found.append(gradients(model, inputs))
    torch.testing.assert_close(*found)


def test_bf16_is_near_float32():
    model, inputs = backbone(), torch.rand(2, 4, *SIZE)
    draw(model)
    exact = gradients(model, inputs)
    with torch.autocast('cpu', torch.bfloat16):
        rounded = gradients(model, inputs)
    assert rounded.keys() == exact.keys()
    for name, gradient in exact.items():
        assert rounded[name].dtype is torch.float32
        assert (rounded[name] - gradient).norm() < 0.05 * gradient.norm(), name


@torch.no_grad()
def test_a_copy_of_a_model_calls_its_own_updates():
    model, inputs = backbone(), torch.rand(1, 4, 28, 42)
    plain, copied = model(inputs), deepcopy(model)
    draw(model)
    torch.testing.assert_close(copied(inputs), plain, rtol=0, atol=0)
    copied.load_state_dict(model.state_dict())
    torch.testing.assert_close(copied(inputs), model(inputs), rtol=0, atol=0)


def test_compiled_blocks_call_the_updates():
    model, inputs, graphs = backbone(out_indices=(0, 1)), torch.rand(1, 4, 28, 42), []
    draw(model)

    def backend(graph, example):
        graphs.append(graph)
        return graph.forward

    plain = model(inputs)
    for block in model.encoder.vit.layers:
        block.compile(backend=backend)
    torch.testing.assert_close(model(inputs), plain)
    assert graphs


def test_trainable_are_the_aux_embedding_and_two_matrices_a_stream_for_queries_and_values():
    model = backbone(out_indices=(0, 2))  # the fourth block does not run
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    assert {name.split('.')[0] for name in trained} == {'aux_embed', 'adapter'}
    counts = sum(parameter.numel() for parameter in model.adapter.parameters())
    assert counts == 3 * 2 * 2 * (3 * 16 + 16 * 3)


def test_a_stream_that_meets_the_other_before_the_taps_is_not_merged():
    with pytest.raises(ValueError, match='which has CPIA, through which the streams meet'):
        backbone(cpia=dict(prompt_dims=4)).merged(0)
    with pytest.raises(ValueError, match='which has no LoRA: merge one'):
        backbone(adapter=None).merged(0)


@pytest.mark.parametrize('rank', [0, 2.5])
def test_a_rank_that_is_no_whole_number_from_1_on_is_refused(rank):
    with pytest.raises(ValueError, match=f'rank={rank}; it is at least 1, a whole number'):
        LoRA(16, 4, rank=rank)


@pytest.mark.parametrize('alpha', [0, float('nan')])
def test_an_alpha_that_stops_all_learning_is_refused(alpha):
    with pytest.raises(ValueError, match=f'alpha={alpha}, by which nothing is learned'):
        LoRA(16, 4, rank=2, alpha=alpha)
