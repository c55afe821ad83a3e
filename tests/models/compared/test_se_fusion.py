import torch

from mobanet_mmseg.models.compared.se_fusion import SEFusion


def test_untrained_gates_without_weights_give_half_of_each():
    fusion = SEFusion(32)
    for parameter in fusion.parameters():
        torch.nn.init.zeros_(parameter)
    rgb, aux = torch.rand(2, 1, 32, 2, 3)
    torch.testing.assert_close(fusion(rgb, aux), (rgb + aux) / 2)


def test_each_modality_is_weighed_by_its_own_mean():
    fusion = SEFusion(16, ratio=16)  # one channel between
    for gate in (fusion.rgb, fusion.aux):
        torch.nn.init.constant_(gate.conv1.conv.weight, 1 / 16)
        torch.nn.init.ones_(gate.conv2.conv.weight)
        torch.nn.init.zeros_(gate.conv1.conv.bias)
        torch.nn.init.zeros_(gate.conv2.conv.bias)
    rgb, aux = torch.rand(2, 1, 16, 2, 3)
    expected = rgb * rgb.mean().sigmoid() + aux * aux.mean().sigmoid()
    torch.testing.assert_close(fusion(rgb, aux), expected)
