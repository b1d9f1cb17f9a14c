"""A small language model as courses build it: 20 steps of AdamW, whose losses are PyTorch's to 1e-6 in float32."""

import math

import numpy as np

from tests.parity.case import Case, normal

WORDS, LENGTH, WIDTH, HEADS = 11, 8, 24, 3


def model(lib):
    """Attention written out, layers in a ModuleDict, a causal mask in a buffer, and an embedding of positions."""
    nn, F = lib.nn, lib.nn.functional

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            mask = lib.tril(lib.ones(LENGTH, LENGTH)).view(1, 1, LENGTH, LENGTH)
            self.register_buffer("mask", mask, persistent=False)

        def forward(self, x):
            B, T, C = x.size()
            q, k, v = (t.view(B, T, HEADS, C // HEADS).transpose(1, 2) for t in self.qkv(x).split(C, dim=2))
            scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            scores = scores.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
            y = (F.softmax(scores, dim=-1) @ v).transpose(1, 2).contiguous().view(B, T, C)
            return self.out(input=y)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.attention, self.norm2 = nn.LayerNorm(WIDTH), Attention(), nn.LayerNorm(WIDTH)
            self.mlp = nn.ModuleDict(
                {
                    "up": nn.Linear(WIDTH, 2 * WIDTH),
                    "down": nn.Linear(2 * WIDTH, WIDTH),
                    "act": nn.GELU(approximate="tanh"),
                    "drop": nn.Dropout(0.0, inplace=True),
                }
            )

        def forward(self, x):
            x = x + self.attention(self.norm1(x))
            m = self.mlp
            return x + m.drop(m.down(m.act(m.up(self.norm2(x)))))

    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.ModuleDict(
                {
                    "words": nn.Embedding(WORDS, WIDTH),
                    "places": nn.Embedding(LENGTH, WIDTH),
                    "blocks": nn.ModuleList([Block() for _ in range(2)]),
                    "norm": nn.LayerNorm(WIDTH),
                }
            )
            self.head = nn.Linear(WIDTH, WORDS, bias=False)
            self.apply(self.start)

        def start(self, module):
            if isinstance(module, nn.Linear | nn.Embedding):
                lib.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                lib.nn.init.zeros_(module.bias)

        def forward(self, words, targets=None):
            _, t = words.size()
            places = lib.arange(0, t, dtype=lib.long, device=words.device).unsqueeze(0)
            x = self.body.words(words) + self.body.places(places)
            for block in self.body.blocks:
                x = block(x)
            scores = self.head(self.body.norm(x))
            if targets is None:
                return scores, None
            return scores, F.cross_entropy(scores.view(-1, scores.size(-1)), targets.view(-1), ignore_index=-1)

    return Language()


def training(lib, x):
    rng = np.random.RandomState(7)
    net = model(lib).to(x.dtype)
    weights = {}
    for name, tensor in net.state_dict().items():
        drawn = np.float32(
            rng.standard_normal(tuple(tensor.shape)) * 0.1 + name.endswith(("norm1.weight", "norm.weight"))
        )
        weights[name] = lib.tensor(drawn)
    net.load_state_dict(weights)
    decay = [p for p in net.parameters() if p.dim() >= 2]
    others = [p for p in net.parameters() if p.dim() < 2]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = lib.optim.AdamW(groups, lr=2e-3, betas=(0.9, 0.95))
    losses = []
    for _ in range(20):
        words = rng.randint(0, WORDS, (16, LENGTH))
        targets = np.sort(words, axis=1)
        targets[:, :2] = -1
        _, loss = net(lib.tensor(words), lib.tensor(targets))
        net.zero_grad(set_to_none=True)
        loss.backward()
        lib.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
    scores, _ = net(lib.tensor(words[:2, :5]))
    return lib.stack(losses) + x.sum() * 0, scores.detach() + x.sum() * 0


CASES = [
    Case("losses", lambda lib, x: training(lib, x)[0], normal(1), tolerance={"float64": 1e-9, "float32": 3e-7}),
    Case("scores", lambda lib, x: training(lib, x)[1], normal(1), tolerance={"float64": 1e-9, "float32": 2e-6}),
]
