import pytest
import torch
from torch import nn

from mobanet_mmseg.models.dgfm import DGFM, DGFMNeck


def test_untrained_gate_averages_the_streams():
    rgb, aux = torch.rand(2, 1, 8, 2, 3)
    torch.testing.assert_close(DGFM(embed_dims=8)(rgb, aux), (rgb + aux) / 2)


def test_gate_weighs_rgb_by_the_sigmoid_of_its_bias():
    dgfm = DGFM(embed_dims=2)
    dgfm.gate[-1].bias.data = torch.tensor([100.0, -100.0])
    rgb, aux = torch.rand(2, 1, 2, 2, 3)
    fused = dgfm(rgb, aux)
    torch.testing.assert_close(fused[:, 0], rgb[:, 0])
    torch.testing.assert_close(fused[:, 1], aux[:, 1])


def test_gate_sees_both_maps_and_their_absolute_difference():
    dgfm = DGFM(embed_dims=1)
    seen = {}
    dgfm.gate[0].register_forward_hook(lambda module, args, output: seen.update(cues=args[0]))
    nn.init.ones_(dgfm.reduce_rgb.weight)
    nn.init.ones_(dgfm.reduce_aux.weight)
    dgfm(torch.full((1, 1, 2, 3), 2.0), torch.full((1, 1, 2, 3), 5.0))
    assert seen['cues'].shape == (1, 96, 2, 3)  # max(32, 1 // 8) channels, three times
    assert [part.unique().item() for part in seen['cues'].chunk(3, dim=1)] == [2, 5, 3]


def test_a_stage_with_its_norm_costs_what_the_paper_counts():
    neck = DGFMNeck(in_channels=768, out_channels=256, num_stages=1)
    parts = [*neck.fusions.parameters(), *neck.norms.parameters()]
    assert sum(p.numel() for p in parts) == 251_328
    assert sum(p.numel() for p in neck.projections.parameters()) == 786_432 // 4


def test_neck_gives_fused_maps_then_the_unimodal_ones_of_the_first_stage():
    neck = DGFMNeck(in_channels=[4, 6], out_channels=3)
    rgb_maps = [torch.rand(1, 4, 2, 3), torch.rand(1, 6, 1, 2)]
    aux_maps = [torch.rand(1, 4, 2, 3), torch.rand(1, 6, 1, 2)]
    outputs = neck((rgb_maps, aux_maps))
    assert [tuple(output.shape) for output in outputs] == [
        (1, 3, 2, 3),
        (1, 3, 1, 2),
        (1, 3, 2, 3),
        (1, 3, 2, 3),
    ]
    torch.testing.assert_close(outputs[2], neck.projections[0](rgb_maps[0]))
    torch.testing.assert_close(outputs[3], neck.projections[0](aux_maps[0]))


def test_neck_without_unimodal_maps_gives_the_fused_ones_alone():
    maps = [torch.rand(1, 4, 2, 3), torch.rand(1, 4, 1, 2)]
    neck = DGFMNeck(in_channels=[4, 4], out_channels=3, unimodal=False)
    assert [tuple(output.shape) for output in neck((maps, maps))] == [(1, 3, 2, 3), (1, 3, 1, 2)]


def test_fused_map_is_normalised_over_channels():
    neck = DGFMNeck(in_channels=4, out_channels=4, num_stages=1)
    neck.projections[0] = nn.Identity()
    fused = neck(([torch.rand(1, 4, 2, 3)], [torch.rand(1, 4, 2, 3)]))[0]
    torch.testing.assert_close(fused.mean(dim=1), torch.zeros(1, 2, 3), atol=1e-5, rtol=0)


def test_without_gate_the_neck_averages_and_has_projections_only():
    neck = DGFMNeck(in_channels=4, out_channels=2, num_stages=1, gated=False)
    rgb, aux = torch.rand(2, 1, 4, 2, 3)
    torch.testing.assert_close(neck(([rgb], [aux]))[0], neck.projections[0]((rgb + aux) / 2))
    assert [name for name, _ in neck.named_parameters()] == ['projections.0.weight']


def test_wrong_number_of_maps_is_refused():
    neck = DGFMNeck(in_channels=4, out_channels=2)
    with pytest.raises(ValueError, match='4 stages but got 1 rgb'):
        neck(([torch.rand(1, 4, 2, 3)], [torch.rand(1, 4, 2, 3)]))
