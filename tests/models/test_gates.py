import torch
from mmseg.registry import MODELS
from scenes.models import tiny_model

from mobanet_mmseg.models.dgfm import DGFM, DGFMNeck
from mobanet_mmseg.models.gates import GateWatch


def gate_of(rgb, aux, bias):
    """What is noted of a DGFM whose gate is sigmoid(bias) everywhere."""
    fusion = DGFM(embed_dims=rgb.shape[1])
    torch.nn.init.constant_(fusion.gate[-1].bias, bias)
    with GateWatch(fusion) as watch:
        fused = fusion(rgb, aux)
    return watch.gates[0], fused


def test_weight_and_share_of_rgb_by_hand():
    """By a gate of 3/4, of features 2 and -6 rgb brings 1.5 as aux does, of 0 and -6 nothing."""
    rgb = torch.zeros(1, 8, 2, 3)
    aux = torch.full((1, 8, 2, 3), -6.0)
    rgb[:, :, 0] = 2
    gate, fused = gate_of(rgb, aux, bias=torch.tensor(3.0).log().item())
    torch.testing.assert_close(gate.weight, torch.full((1, 2, 3), 0.75))
    torch.testing.assert_close(gate.share, torch.tensor([0.5, 0.0]).view(1, 2, 1).expand(1, 2, 3))
    torch.testing.assert_close(fused[:, :, 0], torch.zeros(1, 8, 3))
    assert gate.share.dtype == torch.float32


def test_where_neither_stream_has_features_nothing_is_divided_by_0():
    gate, _ = gate_of(torch.zeros(1, 8, 2, 3), torch.zeros(1, 8, 2, 3), bias=0.0)
    assert gate.share.eq(0).all()
    assert gate.weight.eq(0.5).all()


def test_the_gates_of_a_network_are_noted_by_stage_and_only_while_they_are_watched():
    model = MODELS.build(tiny_model()).eval()
    for stage, fusion in enumerate(model.neck.fusions):
        torch.nn.init.constant_(fusion.gate[-1].bias, float(stage))
    watch = GateWatch(model)
    assert len(watch.stages) == 4
    with torch.no_grad():
        plain = model(torch.rand(2, 4, 28, 42))
        assert not watch.gates
        with watch, torch.autocast('cpu', torch.bfloat16):
            model(torch.rand(2, 4, 28, 42))
        noted = dict(watch.gates)
        model(torch.rand(2, 4, 28, 42))
    assert watch.gates == noted
    assert plain.shape[0] == 2
    for stage, gate in noted.items():
        expected = torch.full((2, 2, 3), float(stage)).sigmoid()
        torch.testing.assert_close(gate.weight, expected, atol=4e-3, rtol=0)  # bf16


def test_a_network_that_averages_has_no_gates():
    assert not GateWatch(DGFMNeck(in_channels=8, out_channels=4, gated=False)).stages
