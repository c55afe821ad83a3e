"""Cross-modal prompt-injected adapter: how the streams talk before a stage."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn


class CPIA(BaseModule):
    r"""Cross-modal prompt-injected adapter of one stage.

    Both streams' tokens make one shared base; a channel-wise affine map turns it into a prompt per
    modality, which each stream's bottleneck adapter adds to its hidden features.

    .. math::
        S &= W_{up} W_{fuse} [W_r X_r; W_a X_a] \\
        P_m &= S + \gamma_m \odot S + \beta_m \\
        X_m &\leftarrow X_m + U_m\, \mathrm{dropout}(\mathrm{relu}(D_m X_m + Q_m P_m))

    :meth:`equations` computes that as it stands. From the tokens to the bottleneck all maps are
    linear, so :meth:`forward` computes the same by one small matrix per modality n of the tokens,
    formed from its narrow side, which gives what n adds to the hidden features of both adapters:

    .. math::
        M_{mn} = Q_m\, \mathrm{diag}(1 + \gamma_m)\, W_{up} W_{fuse,n} W_n + [m = n]\, D_m

    Source: MoBaNet (arXiv:2603.17705), Eq. 5-11.

    Args:
        embed_dims: Channels C of the tokens.
        prompt_dims: Width r of the prompt generator.
        adapter_dims: Width h of the adapters; ``None`` leaves them out, as the released DINOv2
            model does: ``X_m <- X_m + P_m``.
        dropout: Probability of the dropout inside the adapters.

    Raises:
        ValueError: If a width is below 1.
    """

    def __init__(
        self,
        embed_dims: int,
        prompt_dims: int,
        adapter_dims: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if prompt_dims < 1 or (adapter_dims is not None and adapter_dims < 1):
            raise ValueError(
                f'CPIA got prompt_dims={prompt_dims} and adapter_dims={adapter_dims}; both widths '
                'are at least 1 (adapter_dims=None leaves the adapters out).'
            )
        self.reduce_rgb = nn.Linear(embed_dims, prompt_dims)
        self.reduce_aux = nn.Linear(embed_dims, prompt_dims)
        self.fuse = nn.Linear(2 * prompt_dims, prompt_dims)
        self.expand = nn.Linear(prompt_dims, embed_dims)
        self.tft_rgb = TFT(embed_dims)
        self.tft_aux = TFT(embed_dims)
        adapters = (
            (PromptInjectedAdapter(embed_dims, adapter_dims, dropout) for _ in range(2))
            if adapter_dims is not None
            else (AddPrompt(), AddPrompt())
        )
        self.adapter_rgb, self.adapter_aux = adapters

    def equations(self, rgb: Tensor, aux: Tensor) -> tuple[Tensor, Tensor]:
        """Let two (B, N, C) token sequences exchange prompts, as the paper writes it."""
        reduced = torch.cat([self.reduce_rgb(rgb), self.reduce_aux(aux)], dim=-1)  # (B, N, 2r)
        base = self.expand(self.fuse(reduced))
        return (
            self.adapter_rgb(rgb, self.tft_rgb(base)),
            self.adapter_aux(aux, self.tft_aux(base)),
        )

    def forward(self, rgb: Tensor, aux: Tensor) -> tuple[Tensor, Tensor]:
        """Let two (B, N, C) token sequences exchange prompts; both keep their shape."""
        rgb, aux = self.exchange(torch.stack([rgb, aux]))
        return rgb, aux

    def exchange(self, streams: Tensor, num_special: int = 0) -> Tensor:
        """Let stacked streams exchange prompts.

        Args:
            streams: (2, B, T + N, C), the optical one first.
            num_special: T, the first tokens, which stay as they are.

        Returns:
            As ``streams``.
        """
        if isinstance(self.adapter_rgb, AddPrompt):  # no narrow side: products of weights cost more
            special, patches = streams.tensor_split([num_special], dim=2)
            patches = torch.stack(self.equations(*patches))
            return torch.cat([special.to(patches.dtype), patches], dim=2)
        hidden, up, bias = self._hidden(streams, num_special)
        # of special tokens all is 0; a 1 brings the bias; multiples of 8 suit the fast kernels
        spare = -(up.shape[-1] + 1) % 8
        hidden = F.pad(F.pad(hidden, (0, 1), value=1.0), (0, spare, num_special, 0))
        up = F.pad(torch.cat([up, bias[..., None]], dim=-1), (0, spare))
        change = hidden.flatten(1, 2) @ up.transpose(1, 2)  # (2, B (T + N), C)
        return streams + change.view_as(streams)

    def _hidden(self, streams: Tensor, num_special: int) -> tuple[Tensor, Tensor, Tensor]:
        """Give the adapters' hidden features (2, B, N, h), weights (2, C, h) and biases (2, C)."""
        adapters = (self.adapter_rgb, self.adapter_aux)
        with without_autocast(streams):
            matrices, offset = self._associate()
            up = torch.stack([adapter.up.weight for adapter in adapters])
            bias = torch.stack([adapter.up.bias for adapter in adapters])
        hidden = (
            torch.bmm(streams.flatten(1, 2), matrices.transpose(1, 2)).sum(0) + offset
        )  # (B (T + N), 2h)
        hidden = hidden.unflatten(0, streams.shape[1:3])[:, num_special:].relu()
        halves = zip(adapters, hidden.chunk(2, dim=-1), strict=True)
        return torch.stack([adapter.dropout(half) for adapter, half in halves]), up, bias

    @torch.no_grad()
    def associate_for_good(self) -> None:
        """Keep what is formed of weights alone; of a network that trains no more."""
        if not isinstance(self.adapter_rgb, AddPrompt):
            matrices, offset = self._associate()
            self.register_buffer('matrices', matrices, persistent=False)
            self.register_buffer('offset', offset, persistent=False)

    def _associate(self) -> tuple[Tensor, Tensor]:
        """Form what leads from both streams' tokens to both adapters' hidden features.

        Returns:
            (2, 2h, C), per modality of the tokens the rows of both adapters, and (2h,), what
            tokens of 0 give.
        """
        if 'matrices' in self._buffers:
            return self.matrices, self.offset
        pairs = ((self.adapter_rgb, self.tft_rgb), (self.adapter_aux, self.tft_aux))
        injected = torch.cat([(a.inject.weight * (1 + t.gamma)) for a, t in pairs])  # (2h, C)
        fuse = torch.stack(self.fuse.weight.chunk(2, dim=1))  # (2, r, r), for reduced rgb and aux
        reduce = torch.stack([self.reduce_rgb.weight, self.reduce_aux.weight])  # (2, r, C)
        matrices = injected @ self.expand.weight @ fuse @ reduce
        own = torch.block_diag(*(adapter.down.weight for adapter, _ in pairs))  # (2h, 2C)
        base = self.expand(self.fuse(torch.cat([self.reduce_rgb.bias, self.reduce_aux.bias])))
        offset = torch.cat([a.down.bias + a.inject(tft(base)) for a, tft in pairs])
        return matrices + torch.stack(own.chunk(2, dim=1)), offset


def without_autocast(like: Tensor) -> AbstractContextManager:
    """Keep the products of weights in the weights' own precision.

    Args:
        like: A tensor on the device whose autocast is meant; the meta device has none.
    """
    device = like.device.type
    available = torch.amp.is_autocast_available(device)
    return torch.autocast(device, enabled=False) if available else nullcontext()


class TFT(nn.Module):
    r"""Task feature transformation: ``base + gamma * base + beta``, channel by channel.

    Source: MoBaNet (arXiv:2603.17705), Eq. 7-8.

    Args:
        embed_dims: Channels C of the shared base.
    """

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(embed_dims).normal_(1.0, 0.02))
        self.beta = nn.Parameter(torch.empty(embed_dims).normal_(0.0, 0.02))

    def forward(self, base: Tensor) -> Tensor:
        """Turn the (B, N, C) shared base into one modality's prompt of the same shape."""
        return base + self.gamma * base + self.beta


class PromptInjectedAdapter(nn.Module):
    """Bottleneck adapter whose hidden features a prompt shifts.

    Source: MoBaNet (arXiv:2603.17705), Eq. 9.

    Args:
        embed_dims: Channels C of tokens and prompt.
        adapter_dims: Width h of the bottleneck.
        dropout: Probability of the dropout after the activation.
    """

    def __init__(self, embed_dims: int, adapter_dims: int, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(embed_dims, adapter_dims)
        self.inject = nn.Linear(embed_dims, adapter_dims)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(adapter_dims, embed_dims)
        nn.init.zeros_(self.up.weight)  # training starts from the pretrained encoder's features
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Tensor, prompt: Tensor) -> Tensor:
        """Adapt (B, N, C) tokens under a prompt of the same shape."""
        hidden = torch.relu(self.down(tokens) + self.inject(prompt))
        return tokens + self.up(self.dropout(hidden))


class AddPrompt(nn.Module):
    """Adds the prompt to the tokens as it is: the released variant without adapters."""

    def forward(self, tokens: Tensor, prompt: Tensor) -> Tensor:
        """Add two (B, N, C) sequences."""
        return tokens + prompt
