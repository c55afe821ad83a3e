import pytest
import torch
from mmseg.registry import MODELS
from scenes.encoders import random_encoder, tiny_dinov3, tiny_sam
from scenes.models import tiny_vit

from mobanet_mmseg.experiments.yardsticks import (
    PlainComposition,
    run_streams,
    train_streams,
)
from mobanet_mmseg.models.multimodal_vit import MultimodalViT

ENCODERS = {
    'DINOv2': (tiny_vit(), (42, 70)),
    'registers': (tiny_vit(num_registers=2), (42, 70)),
    'SAM': (tiny_sam(), (48, 80)),
    'DINOv3': (tiny_dinov3(), (48, 80)),
}


def backbone(kind, encoder, **overrides):
    settings = dict(
        type=kind,
        encoder=encoder,
        out_indices=(0, 2),
        cpia=dict(prompt_dims=4, adapter_dims=4),
        allow_random_encoder=True,
    )
    return MODELS.build({**settings, **overrides})


def pair(encoder, **overrides):
    """Our backbone and the plain composition of the same weights, none of which is 0."""
    torch.manual_seed(0)
    ours, plain = (backbone(k, encoder, **overrides) for k in (MultimodalViT, PlainComposition))
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(std=0.2)
    ours.encoder.load_state_dict(random_encoder(encoder).state_dict())
    plain.load_state_dict(ours.state_dict())
    return ours.eval(), plain.eval()


@pytest.mark.parametrize('name', ENCODERS)
@pytest.mark.parametrize('cpia', [{'adapter_dims': 4}, {'adapter_dims': None}, None])
def test_plain_composition_is_the_same_function_of_the_same_weights(name, cpia):
    encoder, size = ENCODERS[name]
    ours, plain = pair(encoder, cpia=cpia and dict(prompt_dims=4, **cpia))
    inputs = torch.randn(2, 4, *size)
    results = []
    for each in (ours, plain):
        maps = [stage for stream in each(inputs) for stage in stream]
        sum((stage * (index + 1)).square().mean() for index, stage in enumerate(maps)).backward()
        gradients = [p.grad for p in each.parameters() if p.requires_grad]
        results.append((maps, gradients))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('name', ENCODERS)
def test_bare_streams_are_what_is_left_without_cpia(name):
    encoder, size = ENCODERS[name]
    _, plain = pair(encoder, cpia=None)
    inputs = torch.randn(2, 4, *size)
    with torch.no_grad():
        wanted = [torch.cat(stage) for stage in zip(*plain(inputs), strict=True)]
    torch.testing.assert_close(run_streams(plain, inputs), wanted)


def test_bare_streams_train_back_to_the_tokens_of_both():
    _, plain = pair(tiny_vit(num_registers=2), cpia=None)
    gradient = train_streams(plain, torch.randn(2, 4, 42, 70))
    assert gradient.shape == (2 * 2, 1 + 2 + 3 * 5, 16)
    assert (gradient.flatten(1).abs().sum(1) > 0).all()
    assert all(parameter.grad is None for parameter in plain.parameters())


@pytest.mark.parametrize('cpia', [None, dict(prompt_dims=4)])
def test_lora_updates_the_composition_stream_by_stream_and_not_the_bare_ones(cpia):
    ours, plain = pair(tiny_sam(), cpia=cpia, adapter=dict(type='LoRA', rank=2))
    inputs = torch.randn(2, 4, 48, 80)
    with torch.no_grad():
        torch.testing.assert_close(plain(inputs), ours(inputs), rtol=1e-4, atol=1e-5)
    _, bare = pair(tiny_sam(), cpia=None)
    for part in ('aux_embed', 'encoder'):
        bare.get_submodule(part).load_state_dict(ours.get_submodule(part).state_dict())
    torch.testing.assert_close(run_streams(ours, inputs), run_streams(bare, inputs))
    with torch.no_grad():  # and is back for both streams
        torch.testing.assert_close(plain(inputs), ours(inputs), rtol=1e-4, atol=1e-5)
