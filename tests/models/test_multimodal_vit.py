import mmpretrain.registry
import pytest
import torch
from mmengine.registry import DefaultScope
from scenes.encoders import tiny_dinov3, tiny_sam
from scenes.models import tiny_vit
from torch.utils._python_dispatch import TorchDispatchMode

from mobanet_mmseg.models.dinov2 import DINOv2
from mobanet_mmseg.models.frozen_streams import build_encoder
from mobanet_mmseg.models.multimodal_vit import ATTENTION, AuxPatchEmbed, MultimodalViT
from mobanet_mmseg.models.sam import SAM


def backbone(**overrides):
    config = dict(
        encoder=tiny_vit(),
        out_indices=(0, 1, 2, 3),
        cpia=dict(prompt_dims=4, adapter_dims=4),
        allow_random_encoder=True,
    )
    return MultimodalViT(**{**config, **overrides})


def test_one_step_moves_the_adapters_and_leaves_every_frozen_tensor_bit_equal():
    model = backbone().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):  # U starts at zero, so D and Q move in the second step
        optimizer.zero_grad()
        rgb_maps, aux_maps = model(torch.rand(2, 4, 28, 42))
        sum(m.square().sum() for m in (*rgb_maps, *aux_maps)).backward()
        optimizer.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith('encoder.'), name


def kept_bytes(model: MultimodalViT, inputs: torch.Tensor) -> tuple[int, tuple]:
    """Bytes of tokens and maps that a forward pass keeps for the backward pass, and the maps."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tensor.shape[-2:] != inputs.shape[-2:]:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        maps = model(inputs)
    return sum(kept.values()), maps


def gradients(model: MultimodalViT, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    torch.manual_seed(0)  # the same dropout
    sum(m.square().sum() for maps in model(inputs) for m in maps).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_without_cpia_the_optical_stream_has_no_gradient_and_keeps_nothing():
    model = backbone(cpia=None).train()
    inputs = torch.rand(2, 4, 70, 42)
    kept, (rgb_maps, aux_maps) = kept_bytes(model, inputs)
    assert not any(m.requires_grad for m in rgb_maps)
    assert all(m.requires_grad for m in aux_maps)
    apart = gradients(model, inputs)
    inputs.requires_grad_()  # then both have one, and run as one batch
    both_kept, maps = kept_bytes(model, inputs)
    assert kept < 0.6 * both_kept
    torch.testing.assert_close((rgb_maps, aux_maps), maps)
    torch.testing.assert_close(gradients(model, inputs), apart)


def test_an_encoder_that_was_unfrozen_learns_from_both_streams():
    model = backbone(cpia=None).train()
    model.encoder.requires_grad_(True)
    rgb_maps, aux_maps = model(torch.rand(2, 4, 28, 42))
    assert all(m.requires_grad for m in (*rgb_maps, *aux_maps))


@pytest.mark.parametrize('encoder', [tiny_vit, tiny_sam, tiny_dinov3])
@pytest.mark.parametrize('cpia', [None, dict(prompt_dims=4, adapter_dims=4)])
def test_checkpointed_activations_give_the_same_gradients_from_less_memory(encoder, cpia):
    model = backbone(encoder=encoder(), out_indices=(1, 3), cpia=cpia).train()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    inputs = torch.rand(2, 4, 112, 224)
    found = []
    for model.with_cp in (False, True):
        found.append((kept_bytes(model, inputs)[0], gradients(model, inputs)))
    (kept, expected), (less, same) = found
    assert less < 0.5 * kept
    torch.testing.assert_close(same, expected)


@pytest.mark.parametrize('encoder', [tiny_vit(), tiny_dinov3(patch_size=14)])
def test_checkpointed_activations_give_the_same_gradients_in_bf16(encoder):
    model = backbone(encoder=encoder, out_indices=(1, 3)).train()
    found, inputs = [], torch.rand(2, 4, 28, 42)
    for model.with_cp in (False, True):
        with torch.autocast('cpu', torch.bfloat16):
            found.append(gradients(model, inputs))
    assert {gradient.dtype for gradient in found[1].values()} == {torch.float32}
    torch.testing.assert_close(*found)


class Attention(TorchDispatchMode):
    """Counts how often attention, and each product of matrices, is computed."""

    def __init__(self):
        super().__init__()
        self.attention = self.products = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.attention += func in ATTENTION
        self.products += func is torch.ops.aten.addmm.default
        return func(*args, **(kwargs or {}))


def test_checkpointed_blocks_compute_attention_once_and_the_rest_again():
    model = backbone(out_indices=(1, 3)).train()
    found = []
    for model.with_cp in (False, True):
        with Attention() as counted:
            gradients(model, torch.rand(2, 4, 28, 42))
        found.append((counted.attention, counted.products))
    (attention, products), again = found
    assert attention == again[0] == 4  # blocks
    assert again[1] > products


def test_trainable_are_the_aux_embedding_and_cpia_alone():
    names = {name.split('.')[0] for name, p in backbone().named_parameters() if p.requires_grad}
    assert names == {'aux_embed', 'cpia'}


def test_encoder_stays_in_eval_mode_while_the_rest_trains():
    model = backbone().train()
    assert model.training
    assert model.cpia[0].adapter_rgb.dropout.training
    assert not any(module.training for module in model.encoder.modules())


def test_untrained_streams_are_the_encoder_run_on_each_modality():
    model = backbone().eval()
    model.init_weights()
    inputs = torch.rand(2, 4, 28, 42)
    rgb_maps, aux_maps = model(inputs)
    stacked = [inputs[:, :3], inputs[:, 3:].repeat(1, 3, 1, 1)]
    for maps, image in zip((rgb_maps, aux_maps), stacked, strict=True):
        tokens = model.encoder.add_positions(model.encoder.projection(image))
        for stage in range(4):
            tokens = model.encoder.run_blocks(tokens, stage, stage, (2, 3))
            expected = model.encoder.tap(tokens, (2, 3))
            torch.testing.assert_close(maps[stage], expected)


def test_maps_are_rows_by_columns():
    rgb_maps, aux_maps = backbone(out_indices=(1, 3))(torch.rand(1, 4, 28, 42))
    assert [tuple(m.shape) for m in (*rgb_maps, *aux_maps)] == [(1, 16, 2, 3)] * 4


def test_special_tokens_pass_by_cpia():
    model = backbone().eval()
    for parameter in model.cpia.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    tokens = torch.rand(4, 1 + 6, 16)
    adapted = model._interact(tokens, model.cpia[0])
    assert torch.equal(adapted[:, 0], tokens[:, 0])
    rgb, aux = model.cpia[0].equations(tokens[:2, 1:], tokens[2:, 1:])
    torch.testing.assert_close(adapted[:, 1:], torch.cat([rgb, aux]))


@pytest.mark.parametrize('channels', [1, 2, 3, 6])
def test_aux_embedding_answers_equal_channels_as_the_pretrained_one_does(channels):
    projection = torch.nn.Conv2d(3, 5, 4, 4)
    embed = AuxPatchEmbed(projection, channels)
    gray = torch.rand(2, 1, 8, 12)
    torch.testing.assert_close(
        embed(gray.repeat(1, channels, 1, 1)), projection(gray.repeat(1, 3, 1, 1))
    )
    assert embed.projection.in_channels == (3 if channels == 1 else channels)


def test_encoder_without_weights_refuses_to_run():
    model = backbone(allow_random_encoder=False)
    with pytest.raises(RuntimeError, match='never given weights.*allow_random_encoder=True'):
        model(torch.rand(1, 4, 28, 42))
    other = backbone(allow_random_encoder=False)
    other.load_state_dict(model.state_dict())
    other(torch.rand(1, 4, 28, 42))


def test_size_that_is_no_multiple_of_the_patch_is_refused():
    with pytest.raises(ValueError, match='256 x 28 pixels.*size_divisor=14'):
        backbone()(torch.rand(1, 4, 256, 28))


def test_wrong_channels_are_refused():
    with pytest.raises(ValueError, match='got 5 channels'):
        backbone()(torch.rand(1, 5, 28, 42))
    with pytest.raises(ValueError, match=r'modality_channels=\(4, 1\)'):
        backbone(modality_channels=(4, 1))
    with pytest.raises(ValueError, match=r'modality_channels=\(3, 0\); .* at least 1'):
        backbone(modality_channels=(3, 0))


@pytest.mark.parametrize('taps', [(0, 4), (1, 1), ()])
def test_taps_that_are_no_ascending_blocks_are_refused(taps):
    with pytest.raises(ValueError, match='ascending blocks of the encoder, 0 to 3'):
        backbone(out_indices=taps)


def test_the_config_names_the_encoder():
    assert type(build_encoder(tiny_vit())) is DINOv2
    assert type(build_encoder(tiny_sam())) is SAM


def test_an_encoder_is_mmsegs_whatever_another_scope_has_under_its_name(monkeypatch):
    monkeypatch.setitem(mmpretrain.registry.MODELS._module_dict, 'SAM', torch.nn.Identity)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        assert type(build_encoder(tiny_sam())) is SAM


@pytest.mark.parametrize(
    ('old', 'new'), [('mmpretrain.VisionTransformer', 'DINOv2'), ('mmpretrain.ViTSAM', 'SAM')]
)
def test_the_vit_alone_is_refused_and_the_encoder_named(old, new):
    with pytest.raises(ValueError, match=rf"type='{old}'.* write encoder=dict\(type='{new}', arch"):
        backbone(encoder=dict(type=old, arch='base'))


def test_what_is_no_encoder_is_refused():
    with pytest.raises(ValueError, match='is a ResNet; .* DINOv2, DINOv3, SAM or an Encoder of'):
        backbone(encoder=dict(type='ResNet', depth=18))
