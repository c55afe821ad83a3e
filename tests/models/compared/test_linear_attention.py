import pytest
import torch
import torch.nn.functional as F

from mobanet_mmseg.models.compared.linear_attention import LinearAttention, LinearChannelAttention


def test_attention_is_the_mean_of_the_values_weighted_by_one_plus_the_cosine():
    torch.manual_seed(0)
    attention = LinearAttention(channels=6, reduction=2).double()
    attention.gamma.data.fill_(3)
    inputs = torch.randn(2, 6, 2, 3, dtype=torch.float64)
    query, key, value = (
        layer(inputs).flatten(2) for layer in (attention.query, attention.key, attention.value)
    )
    cosine = F.cosine_similarity(query[..., None], key[:, :, None], dim=1)  # (B, queries, keys)
    weights = (1 + cosine) / (1 + cosine).sum(dim=2, keepdim=True)
    expected = 3 * (value @ weights.transpose(1, 2)).unflatten(2, (2, 3))
    torch.testing.assert_close(attention(inputs), expected, atol=1e-5, rtol=1e-5)


def test_channel_attention_by_hand():
    """Two channels of one row of two pixels: x = [[3, 0], [4, 1]]; k = q = [[.6, 0], [.8, 1]].

    x k' = [[1.8, 2.4], [2.4, 4.2]], times q: [[3, 2.4], [4.8, 4.2]]; the sums of the channels are
    [7, 1], those of q [1.4, 1], and the weights 2 + [.6 * 1.4, .8 * 1.4 + 1].
    """
    attention = LinearChannelAttention()
    attention.gamma.data.fill_(1)
    given = attention(torch.tensor([[[[3.0, 0.0]], [[4.0, 1.0]]]]))
    expected = torch.tensor([[10 / 2.84, 3.4 / 2.84], [11.8 / 4.12, 5.2 / 4.12]])
    torch.testing.assert_close(given[0, :, 0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('attention', [LinearAttention(8), LinearChannelAttention()])
def test_a_residual_starts_as_the_identity_and_a_map_of_zeros_has_no_nan(attention):
    assert attention(torch.rand(1, 8, 3, 5)).equal(torch.zeros(1, 8, 3, 5))
    assert attention(torch.zeros(1, 8, 3, 5)).isfinite().all()


def test_a_query_opposite_to_every_key_attends_to_none():
    attention = LinearAttention(channels=8)  # keys and queries of one channel: 1 or -1
    for parameter in attention.parameters():
        torch.nn.init.zeros_(parameter)
    for layer, bias in ((attention.query, -1.0), (attention.key, 1.0), (attention.value, 1.0)):
        torch.nn.init.constant_(layer.bias, bias)
    attention.gamma.data.fill_(1)
    assert attention(torch.rand(1, 8, 16, 24)).isfinite().all()
