import pytest
import torch

from mobanet_mmseg.models.cpia import CPIA, TFT, PromptInjectedAdapter


def test_untrained_cpia_is_the_identity():
    rgb, aux = torch.rand(2, 3, 6, 8)
    adapted = CPIA(embed_dims=8, prompt_dims=4, adapter_dims=2)(rgb, aux)
    assert torch.equal(adapted[0], rgb)
    assert torch.equal(adapted[1], aux)


def test_tft_scales_and_shifts_each_channel():
    tft = TFT(2)
    tft.gamma.data = torch.tensor([2.0, 0.0])
    tft.beta.data = torch.tensor([0.5, -1.0])
    base = torch.tensor([[[1.0, 10.0]]])
    torch.testing.assert_close(tft(base), torch.tensor([[[3.5, 9.0]]]))  # 1 + 2 + .5, 10 + 0 - 1


def test_adapter_adds_the_prompt_before_the_activation():
    adapter = PromptInjectedAdapter(embed_dims=1, adapter_dims=1, dropout=0.1).eval()
    for layer, weight in ((adapter.down, 2.0), (adapter.inject, -1.0), (adapter.up, 3.0)):
        layer.weight.data.fill_(weight)
        layer.bias.data.zero_()
    tokens = torch.tensor([[[1.0], [1.0]]])
    prompt = torch.tensor([[[0.5], [4.0]]])
    # 1 + 3 relu(2 - 0.5) = 5.5; 1 + 3 relu(2 - 4) = 1
    torch.testing.assert_close(adapter(tokens, prompt), torch.tensor([[[5.5], [1.0]]]))


def test_without_adapters_the_prompt_is_added_as_it_is():
    cpia = CPIA(embed_dims=2, prompt_dims=1)
    weights = {
        'reduce_rgb': [[1.0, 0.0]],
        'reduce_aux': [[0.0, 1.0]],
        'fuse': [[1.0, 10.0]],
        'expand': [[1.0], [2.0]],
    }
    for name, weight in weights.items():
        getattr(cpia, name).weight.data = torch.tensor(weight)
        getattr(cpia, name).bias.data.zero_()
    for tft in (cpia.tft_rgb, cpia.tft_aux):
        tft.gamma.data.zero_()
        tft.beta.data.zero_()
    rgb = torch.tensor([[[1.0, 7.0]]])
    aux = torch.tensor([[[7.0, 0.5]]])
    # base = 1 * 1 + 10 * 0.5 = 6, expanded to (6, 12)
    fused_rgb, fused_aux = cpia(rgb, aux)
    torch.testing.assert_close(fused_rgb, torch.tensor([[[7.0, 19.0]]]))
    torch.testing.assert_close(fused_aux, torch.tensor([[[13.0, 12.5]]]))


def test_both_streams_learn_from_both_modalities():
    cpia = CPIA(embed_dims=8, prompt_dims=4, adapter_dims=2)
    for adapter in (cpia.adapter_rgb, cpia.adapter_aux):
        torch.nn.init.ones_(adapter.up.weight)
    for stream in range(2):
        rgb, aux = (torch.rand(1, 6, 8, requires_grad=True) for _ in range(2))
        cpia(rgb, aux)[stream].square().sum().backward()
        other = (aux, rgb)[stream]
        assert other.grad.abs().sum() > 0


def random_cpia(**widths) -> CPIA:
    """CPIA whose every weight is random, those that start at 0 too."""
    cpia = CPIA(**widths).double()
    for parameter in cpia.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return cpia


@pytest.mark.parametrize('adapter_dims', [3, None], ids=['with adapters', 'released'])
def test_association_gives_the_equations_values_and_gradients(adapter_dims):
    cpia = random_cpia(embed_dims=8, prompt_dims=4, adapter_dims=adapter_dims, dropout=0.3)
    rgb, aux = torch.randn(2, 2, 6, 8, dtype=torch.float64)
    leaves = [rgb.requires_grad_(), aux.requires_grad_(), *cpia.parameters()]
    results = []
    for form in (cpia, cpia.equations):
        torch.manual_seed(0)  # the same dropout
        outputs = form(rgb, aux)
        loss = outputs[0].square().sum() + outputs[1].pow(3).sum()
        results.append((*outputs, *torch.autograd.grad(loss, leaves)))
    torch.testing.assert_close(*results)
    assert all(gradient.any() for gradient in results[0][2:])


@pytest.mark.parametrize('adapter_dims', [3, None], ids=['with adapters', 'released'])
def test_special_tokens_pass_by_and_patches_do_not_see_them(adapter_dims):
    cpia = random_cpia(embed_dims=8, prompt_dims=4, adapter_dims=adapter_dims).eval()
    streams = torch.randn(2, 3, 2 + 6, 8, dtype=torch.float64)
    exchanged = cpia.exchange(streams, num_special=2)
    assert torch.equal(exchanged[:, :, :2], streams[:, :, :2])
    torch.testing.assert_close(exchanged[:, :, 2:].unbind(), cpia.equations(*streams[:, :, 2:]))


def test_autocast_leaves_the_product_of_weights_in_full_precision(monkeypatch):
    cpia = random_cpia(embed_dims=8, prompt_dims=4, adapter_dims=3).float().eval()
    matrices, offset = cpia._associate()
    seen, associate = [], cpia._associate
    monkeypatch.setattr(cpia, '_associate', lambda: seen.append(associate()) or seen[-1])
    rgb, aux = torch.randn(2, 2, 6, 8)
    expected = cpia(rgb, aux)
    with torch.autocast('cpu', torch.bfloat16):
        found = cpia(rgb, aux)
    assert torch.equal(seen[-1][0], matrices)
    assert torch.equal(seen[-1][1], offset)
    for half, whole in zip(found, expected, strict=True):
        assert half.dtype == torch.float32  # the tokens' own: the sum is not rounded
        assert (half - whole).abs().max() <= 0.05 * whole.abs().max()


@pytest.mark.parametrize(
    ('adapter_dims', 'count'),
    [(48, 521_276), (None, 520_512)],
    ids=['with adapters', 'released'],
)
def test_a_stage_costs_what_the_paper_counts(adapter_dims, count):
    cpia = CPIA(768, prompt_dims=116 if adapter_dims else 192, adapter_dims=adapter_dims)
    assert sum(p.numel() for p in cpia.parameters()) == count


def test_width_below_one_is_refused():
    with pytest.raises(ValueError, match='prompt_dims=0'):
        CPIA(8, prompt_dims=0)
