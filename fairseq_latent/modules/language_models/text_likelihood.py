"""What tokens of a text cost a plain language model, and the fine-tuning of its top blocks on them."""

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_latent.errors import InputError

from .body import blocks_of, position_table
from .packed_attention import packed_states
from .pretrained import LanguageModel, of_folder

WARMUP = 0.1  # of the updates, in which the learning rate rises; then it falls to nothing
CLIP = 1.0  # of the gradient's norm
POSITIONS, TEXTS = 512, 16  # tokens of a text, and texts at a time, of `NatsOfTexts`

Span = tuple[int, int]


class TextLikelihood:
    """A language model that scores parts of texts; pads are never computed."""

    def __init__(self, model: LanguageModel, device: torch.device, autocast: bool = False):
        self.body = model.body.to(device).eval()
        self.words = model.words.to(device)
        self.output = self.words if model.output is None else model.output.to(device)
        self.device, self.autocast = device, autocast

    def to(self, device: torch.device) -> "TextLikelihood":
        """Compute there."""
        self.body.to(device)
        self.words, self.output, self.device = self.words.to(device), self.output.to(device), device
        return self

    @property
    def positions(self) -> int | None:
        """The longest text that it was made for, where that is known."""
        table = position_table(self.body)
        if table is not None:
            return table.num_embeddings - getattr(table, "offset", 0)
        return getattr(self.body.config, "max_position_embeddings", None)

    @property
    def layers(self) -> int:
        """Blocks of the body."""
        return self.body.config.num_hidden_layers

    def nats(self, texts: Sequence[Sequence[int]], spans: Sequence[Sequence[Span]]) -> Tensor:
        """Texts of tokens, and parts of each from start to stop -> (S,) nats of all parts, text by text; start > 0."""
        lengths = torch.tensor([len(text) for text in texts])
        tokens = nn.utils.rnn.pad_sequence([torch.tensor(text) for text in texts], batch_first=True).to(self.device)
        places = torch.arange(tokens.size(1), device=self.device)
        mask = places < lengths.to(self.device)[:, None]
        rows, columns, part = [], [], []
        for row, of_text in enumerate(spans):
            for start, stop in of_text:
                part += [part[-1] + 1 if part else 0] * (stop - start)
                rows += [row] * (stop - start)
                columns += range(start, stop)
        rows, columns, part = (torch.tensor(each, device=self.device) for each in (rows, columns, part))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            inputs = F.embedding(tokens, self.words)
            states = packed_states(self.body, inputs, places.expand_as(tokens), mask)
            logits = F.linear(states[rows, columns - 1], self.output)
        cost = F.cross_entropy(logits.float(), tokens[rows, columns], reduction="none")
        return cost.new_zeros(int(part[-1]) + 1).index_add(0, part, cost)

    def fine_tune(
        self,
        batches: Iterable[tuple[Sequence[Sequence[int]], Sequence[Sequence[Span]]]],
        updates: int,
        blocks: int,
        lr: float,
    ) -> None:
        """Train the top `blocks` blocks (AdamW, all else frozen) on the parts of `batches`."""
        if blocks > self.layers:
            raise InputError(f"--train-blocks {blocks}: the language model has {self.layers}; remedy: at most these")
        self.body.requires_grad_(False)
        for block in blocks_of(self.body)[self.layers - blocks :]:
            block.requires_grad_(True)
        trained = [parameter for parameter in self.body.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
        rising = max(1, round(WARMUP * updates))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / rising, (updates - step) / max(1, updates - rising))
        )
        for texts, spans in batches:
            tokens = sum(stop - start for of_text in spans for start, stop in of_text)
            (self.nats(texts, spans).sum() / tokens).backward()
            nn.utils.clip_grad_norm_(trained, CLIP)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()


def likelihood_of_folder(
    folder: str, positions: int, device: torch.device, autocast: bool = False
) -> tuple[TextLikelihood, int, int, Callable[[Sequence[str]], list[list[int]]]]:
    """The language model of a folder, the token that begins a text, the one that ends it, and its tokenizer."""
    from fairseq_latent.text.gpt2_tokenizer import load_gpt2

    read = of_folder(folder, positions, 0.0, 0.0)
    tokenizer = load_gpt2(folder)
    if tokenizer.size > len(read.words):
        raise InputError(
            f"{folder}: its tokenizer has {tokenizer.size:,} tokens, its weights {len(read.words):,}; "
            "remedy: the tokenizer that belongs to the weights"
        )
    (line_break,) = tokenizer.ids(["\n"])
    end = line_break[0] if len(line_break) == 1 and tokenizer.text(line_break) == "\n" else read.end
    begin = read.end if read.begin is None else read.begin
    if end is None or begin is None:
        raise InputError(f"{folder}/config.json: eos_token_id is no token of it; remedy: the token that ends a text")
    return TextLikelihood(read, device, autocast), begin, end, tokenizer.ids


class NatsOfTexts:
    """Nats and tokens of texts, their ends included, by the language model of a folder; of long texts the first 510."""

    def __init__(self, folder: str, device: torch.device):
        self.model, self.begin, self.end, self.ids = likelihood_of_folder(folder, POSITIONS, device)
        self.longest = min(POSITIONS, self.model.positions or POSITIONS)

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Of each text."""
        rows = [[self.begin, *row[: self.longest - 2], self.end] for row in self.ids(list(texts))]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        found: list[tuple[float, int]] = [(0.0, 0)] * len(rows)
        for start in range(0, len(order), TEXTS):
            part = order[start : start + TEXTS]
            of_part = [rows[place] for place in part]
            costs = self.model.nats(of_part, [[(1, len(row))] for row in of_part]).tolist()
            for place, cost in zip(part, costs, strict=True):
                found[place] = (cost, len(rows[place]) - 1)
        return found
