"""Cross-modal prompt-injected adapter: how the streams talk before a stage."""

import torch
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

    def forward(self, rgb: Tensor, aux: Tensor) -> tuple[Tensor, Tensor]:
        """Let two (B, N, C) token sequences exchange prompts; both keep their shape."""
        reduced = torch.cat([self.reduce_rgb(rgb), self.reduce_aux(aux)], dim=-1)  # (B, N, 2r)
        base = self.expand(self.fuse(reduced))
        return (
            self.adapter_rgb(rgb, self.tft_rgb(base)),
            self.adapter_aux(aux, self.tft_aux(base)),
        )


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
