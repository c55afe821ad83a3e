import torch

from mobanet_mmseg.models.authors import ReleasedFCNHead, ReleasedUPerHead


def test_released_laterals_keep_their_sign_and_all_else_stays_within_0_and_6():
    options = dict(channels=4, num_classes=3, norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU6'))
    head = ReleasedUPerHead(in_channels=[8] * 2, in_index=[0, 1], pool_scales=(1, 2), **options)
    head.eval()
    inputs = [100 * torch.randn(1, 8, 5, 7) for _ in range(2)]
    assert head.lateral_convs[0](inputs[0]).min() < 0
    features = head._forward_feature(inputs)
    assert features.min() == 0
    assert features.max() == 6
    head.conv_seg.weight.data.zero_()
    assert not head(inputs).any()  # no bias


def test_released_auxiliary_classifier_has_no_bias():
    head = ReleasedFCNHead(
        in_channels=8, channels=4, num_convs=1, concat_input=False, num_classes=3
    )
    head.conv_seg.weight.data.zero_()
    assert not head([torch.randn(1, 8, 5, 7)]).any()
