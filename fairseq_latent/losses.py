"""The terms of every loss: tensors in, one value an example out, float32 inside, no fairseq, no reduction.

Logits come packed: one row (V) a real target token, in the order of `target[target.ne(pad)]`; pads have no row.
"""

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from .gaussian import DiagonalGaussian

PAIR_ELEMENTS = 2**24  # pairwise terms hold at most this many floats at once
ROWS_ELEMENTS = 2**19  # logits worked on at once
CONTEXT_WORTH, LATENT_WORTH = (
    "context_worth",
    "latent_worth",
)  # statistics of validation and of `fairseq-latent latents`


def real_places(mask: Tensor, count: int | None = None) -> Tensor:
    """(B, T) bool -> (N,): where the real tokens stand in B * T, row by row.

    count: N, if the caller knows it; a GPU need not be waited for then.
    """
    if count is None:
        return mask.flatten().nonzero().squeeze(1)
    return mask.flatten().logical_not().byte().argsort(stable=True)[:count]


def sum_by_sentence(values: Tensor, mask: Tensor) -> Tensor:
    """(..., N), (B, T) bool -> (..., B): add up the values of each sentence's real tokens."""
    grid = values.new_zeros(*values.shape[:-1], *mask.shape)
    return grid.masked_scatter(mask, values).sum(-1)  # unlike index_add, in the same order on every run of a GPU


def token_nll(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """(N, V), (N,) -> smoothed (N,), plain (N,), nats per token.

    Smoothing spreads epsilon over all V words, (1 - e) * nll + e / V * sum_v -log p_v, as fairseq 0.8 did for
    Sato et al. (2021); fairseq 0.12 spreads it over V - 1.
    """
    nll, uniform = _TokenNLL.apply(logits, target, bool(label_smoothing))
    if not label_smoothing:
        return nll, nll
    return (1 - label_smoothing) * nll + label_smoothing * uniform, nll


class _TokenNLL(torch.autograd.Function):
    """(N, V), (N,) -> -log p of the target, and its mean over all words: (N,) each, nats, float32.

    The gradient, softmax minus target, is written once and a few rows at a time; autograd would make five tensors (N, V).
    """

    @staticmethod
    def forward(ctx, logits: Tensor, target: Tensor, with_uniform: bool):
        target = target.unsqueeze(-1)
        normaliser = torch.cat([_float(rows).logsumexp(-1) for rows in _few_rows(logits)])
        nll = normaliser - _float(logits.gather(-1, target).squeeze(-1))
        uniform = normaliser - logits.mean(-1, dtype=normaliser.dtype) if with_uniform else torch.zeros_like(nll)
        ctx.save_for_backward(logits, target, normaliser)
        ctx.with_uniform = with_uniform
        return nll, uniform

    @staticmethod
    @once_differentiable
    def backward(ctx, of_nll: Tensor, of_uniform: Tensor):
        logits, target, normaliser = ctx.saved_tensors
        if not ctx.with_uniform:
            of_uniform = torch.zeros_like(of_nll)
        gradient = torch.empty_like(logits)
        columns = ((of_nll + of_uniform).unsqueeze(-1), (of_uniform / logits.size(-1)).unsqueeze(-1))
        parts = zip(*map(_few_rows, (gradient, logits)), strict=True)
        start = 0
        for out, rows in parts:
            here = slice(start, start := start + len(rows))
            softmax = torch.sub(rows, normaliser[here].unsqueeze(-1)).exp_().mul_(columns[0][here])
            if ctx.with_uniform:
                softmax.sub_(columns[1][here])
            out.copy_(softmax.scatter_add_(-1, target[here], -of_nll[here].unsqueeze(-1)))
        return gradient, None, None


def _float(values: Tensor) -> Tensor:
    """float32, unless it is double."""
    return values if values.dtype == torch.float64 else values.float()


def _few_rows(matrix: Tensor) -> tuple[Tensor, ...]:
    """(N, V) in parts that stay in a processor's cache; whole on a GPU."""
    return matrix.split(max(1, ROWS_ELEMENTS // matrix.size(-1))) if matrix.device.type == "cpu" else (matrix,)


def sequence_nll(logits: Tensor, target: Tensor, pad: int, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """(N, V) packed, (B, T) -> smoothed (B,), plain (B,), nats per sentence."""
    mask = target.ne(pad)
    words = target.flatten().index_select(0, real_places(mask, len(logits)))
    smoothed, nll = token_nll(logits, words, label_smoothing)
    return sum_by_sentence(smoothed, mask), sum_by_sentence(nll, mask)


def choice_nll(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, C) of candidates, the right one last, -inf where there is none -> nats (B,), and 1.0 where it is best.

    Cross-entropy over the candidates (Wolf et al., 2019). A tie counts against the right one. Both are 0 where it is
    the only candidate.
    """
    scores = scores.float()
    nll = scores.logsumexp(-1) - scores[:, -1]
    others = scores[:, :-1]
    if not others.size(1):
        return nll, torch.zeros_like(nll)
    several = others.isfinite().any(1)
    return nll, (scores[:, -1].detach() > others.detach().amax(1)).float() * several


def next_utterance_nll(scores: Tensor) -> Tensor:
    """Log odds (B, C) that a candidate is the next utterance, the right one last, -inf where there is none -> nats (B,).

    (-log p of the right one + the mean of -log(1 - p) over the others) / 2 (P²BOT; Liu et al., 2020); 0 without others.
    """
    scores = scores.float()
    others = scores[:, :-1]
    there = others.isfinite()
    count = there.sum(1)
    wrong = torch.nn.functional.softplus(others.masked_fill(~there, 0.0)) * there
    return (torch.nn.functional.softplus(-scores[:, -1]) + wrong.sum(1) / count.clamp(min=1)) / 2 * count.gt(0)


def token_divergence(logits: Tensor, target: Tensor, pad: int, label_smoothing: float) -> tuple[Tensor, Tensor]:
    """(N, V), (N,) -> KL(smoothed target || model) (N,), plain NLL (N,), nats per token.

    The smoothed target is 1 - e at the right word and e / (V - 2) at all others but the pad, as in P²BOT (Liu et al., 2020);
    its entropy, a constant, is taken off the cross-entropy. Without smoothing both are the NLL.
    """
    nll, uniform = _TokenNLL.apply(logits, target, bool(label_smoothing))
    if not label_smoothing:
        return nll, nll
    words = logits.size(-1)
    each, right = label_smoothing / (words - 2), 1 - label_smoothing
    of_pad = nll + _float(logits.gather(-1, target.unsqueeze(-1)).squeeze(-1)) - _float(logits[:, pad])
    entropy = -right * math.log(right) - label_smoothing * math.log(each)
    return (right - each) * nll + each * (words * uniform - of_pad) - entropy, nll


def free_bits(kl_per_dim: Tensor, floor: float, over: str = "dimension") -> Tensor:
    """(B, Z) -> (B,) nats: a KL below `floor` costs `floor` and gets no gradient.

    dimension: of each dimension's batch mean, so that the batch mean of the result is sum_d max(floor, mean_b KL_bd) (Kingma
    et al., 2016, eq. 15). total: of the batch mean of the sum over dimensions. sample: of each example's own sum (both in
    the code of Li et al., 2019; arXiv 1909.00868).
    """
    if over not in ("dimension", "total", "sample"):
        raise ValueError(f"free bits over {over} are over neither dimension, total nor sample")
    kl = kl_per_dim if over == "dimension" else kl_per_dim.sum(-1, keepdim=True)
    level = kl if over == "sample" else kl.mean(0, keepdim=True)
    return torch.where(level < floor, floor, kl).sum(-1)


def bow_nll(bow_logits: Tensor, target: Tensor, pad: int, eos: int, form: str = "types") -> Tensor:
    """(B, V), (B, T) -> (B,) nats: negative log-likelihood of the response as a bag of words.

    types: the set of words, neither padding nor end of sentence (Sato et al., 2021).
    tokens: every token with its multiplicity, end of sentence included (Zhao et al., 2017).
    """
    log_probs = bow_logits.float().log_softmax(-1)
    counts = torch.zeros_like(log_probs).scatter_add_(1, target, torch.ones_like(target, dtype=log_probs.dtype))
    counts[:, pad] = 0
    if form == "types":
        counts[:, eos] = 0
        counts = counts.clamp(max=1)
    elif form != "tokens":
        raise ValueError(f"bag of words: {form} is neither types nor tokens")
    return -(counts * log_probs).sum(-1)


def same_rows(*tensors: Tensor) -> Tensor:
    """(B, ...) each -> (B, B) bool: which examples have equal rows in all tensors."""
    rows = torch.cat([tensor.flatten(1) for tensor in tensors], dim=1)
    chunk = max(1, PAIR_ELEMENTS // max(1, rows.numel()))
    return torch.cat([part.unsqueeze(1).eq(rows.unsqueeze(0)).all(-1) for part in rows.split(chunk)])


def podi(
    posterior: DiagonalGaussian, target: float, form: str = "per_dim", same: Tensor | None = None, shuffle: bool = True
) -> Tensor:
    """(B, Z) posteriors -> (B,): posterior-discriminated regularisation (Cho et al., 2022, eq. 4; arXiv 2204.07372).

    A squared hinge pushes the posteriors of different inputs at least `target` (lambda) nats apart. `same` (B, B) marks
    equal inputs, which never make a pair. Without `shuffle` the one partner of `literal` and `auto` is the neighbour, so
    that validation is repeatable. The batch mean of the result is, with KL_d the divergence of one dimension:

    literal: sum_i min(mean_d KL_d(q_i || q_j) - lambda, 0)^2 with one random partner j an example, as printed.
    auto: mean_i min(sum_d KL_d - Z lambda, 0)^2 / (Z lambda): the same hinge, independent of batch size and Z.
    per_dim: sum over all ordered pairs of mean_d min(KL_d - lambda, 0)^2, as the authors' code has it.
    """
    size = posterior.mean.size(0)
    if form == "per_dim":
        return size * _podi_per_dim(posterior, target, same)
    if form not in ("literal", "auto"):
        raise ValueError(f"L_Po-di: {form} is neither per_dim, literal nor auto")
    partner, paired = _partners(size, same, posterior.mean.device, shuffle)
    divergence = posterior.kl_per_dim(posterior[partner])
    if form == "literal":
        return size * paired * (divergence.mean(-1) - target).clamp(max=0).square()
    total = posterior.mean.size(-1) * target
    return paired * (divergence.sum(-1) - total).clamp(max=0).square() / total


def _partners(size: int, same: Tensor | None, device: torch.device, shuffle: bool = True) -> tuple[Tensor, Tensor]:
    """Partner of each example (B,) by rolling a random permutation, and whether the two inputs differ (B,)."""
    rows = torch.arange(size, device=device)
    order = torch.randperm(size, device=device) if shuffle else rows
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    return partner, (partner.ne(rows) if same is None else ~same[rows, partner]).float()


def _podi_per_dim(posterior: DiagonalGaussian, target: float, same: Tensor | None) -> Tensor:
    """(B,): sum over partners j of mean_d min(KL_d(q_i || q_j) - lambda, 0)^2, in row chunks of bounded memory."""
    size, latent_dim = posterior.mean.shape
    differ = ~(torch.eye(size, dtype=torch.bool, device=posterior.mean.device) if same is None else same)

    def rows(mean, logvar, mask):
        divergence = DiagonalGaussian(mean, logvar).unsqueeze(1).kl_per_dim(posterior.unsqueeze(0))
        return ((divergence - target).clamp(max=0).square().mean(-1) * mask).sum(-1)

    chunk = max(1, PAIR_ELEMENTS // (size * latent_dim))
    parts = [part.split(chunk) for part in (posterior.mean, posterior.logvar, differ)]
    found = (
        checkpoint(rows, *part, use_reentrant=False, preserve_rng_state=False)  # nothing here is random
        for part in zip(*parts, strict=True)
    )
    return torch.cat(list(found))


def pair_divergence(posterior: DiagonalGaussian, same: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(B, Z) -> KL to another example's posterior (B,), its part that is due to means (B,); nats.

    L_Po-di can be met by variances alone, with means that all coincide and a latent that says nothing: then the first is
    large and the second small. Each example is paired with its neighbour, without random numbers; 0 for equal inputs.
    """
    partner, paired = _partners(posterior.mean.size(0), same, posterior.mean.device, shuffle=False)
    other = posterior[partner]
    return paired * posterior.kl(other), paired * posterior.kl_of_means(other)


def fusion_distance(x: Tensor, y: Tensor, clip: float = 0.3, clip_pull: bool = True) -> Tensor:
    """(B, Z), (B, Z) -> (B,): SpaceFusion's regulariser (Gao et al., 2019), d(x_i, y_i) minus both mean spreads.

    d is the root mean squared difference over dimensions, clamped at `clip`; `clip_pull=False` leaves d(x_i, y_i)
    unclamped, so that far pairs are still pulled together. A batch of one has no spread.
    """

    def distance(squared: Tensor) -> Tensor:
        return (squared / x.size(-1) + 1e-9).sqrt()

    def spread(a: Tensor) -> Tensor:
        pairs = torch.cdist(a, a, compute_mode="donot_use_mm_for_euclid_dist")  # (B, B), never (B, B, Z)
        return distance(pairs.square()).clamp(max=clip).sum(1) / max(1, a.size(0) - 1)

    x, y = x.float(), y.float()
    pull = distance((x - y).square().sum(-1))
    return (pull.clamp(max=clip) if clip_pull else pull) - spread(x) - spread(y)


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """(B, Z), (B, Z) -> (B,): the maximum mean discrepancy of two samples, whose batch mean estimates MMD² without bias.

    The divergence of InfoVAE (Zhao et al., 2019; arXiv 1706.02262) with the kernel k(a, b) = c / (c + |a - b|²), c = 2 Z, of
    Tolstikhin et al. (2018; arXiv 1711.01558). 0 for a batch of one, which has no pairs.
    """
    x, y, size = _float(x), _float(y), len(x)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        pairs = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")  # (B, B), never (B, B, Z)
        return 2 * a.size(-1) / (2 * a.size(-1) + pairs.square())

    if size == 1:
        return 0 * x.sum(-1)
    within = (kernel(x, x).sum(1) + kernel(y, y).sum(1) - 2) / (size - 1)  # without k(a, a) = 1
    return within - 2 * kernel(x, y).mean(1)


def mutual_information(posterior: DiagonalGaussian, z: Tensor) -> Tensor:
    """(B, Z) -> (B,) nats: log q(z|x) - log q(z) with q(z) the mixture of the batch's posteriors.

    Its mean estimates I(x; z) under q (Hoffman and Johnson, 2016) and can't exceed log B.
    """
    pairs = posterior.pairwise_log_prob(z)
    size = pairs.size(0)
    return pairs.diagonal() - pairs.logsumexp(1) + math.log(size)


def active_units(mean_sum: Tensor, mean_square_sum: Tensor, count: int, threshold: float = 0.01) -> int:
    """Dimensions whose posterior mean has an unbiased variance of at least `threshold` (Burda et al., 2016).

    mean_sum, mean_square_sum (Z,): sums over `count` >= 2 examples, so that splits and workers add up.
    """
    variance = (mean_square_sum.double() - mean_sum.double().square() / count) / (count - 1)
    return int((variance >= threshold).sum())


def importance_weighted_nll(nll: Tensor, log_prior: Tensor, log_posterior: Tensor) -> Tensor:
    """(K, B) each, -log p(y|x, z), log p(z|x), log q(z|x, y) of K posterior samples z -> (B,) nats, float64.

    -log 1/K sum_k p(y|x, z_k) p(z_k|x) / q(z_k|x, y) (Burda et al., 2016; arXiv 1509.00519): in expectation never below
    -log p(y|x), and closer to it the larger K. K = 1 is the negative ELBO with the KL of that one sample.
    """
    log_weight = log_prior.double() - log_posterior.double() - nll.double()
    return math.log(len(log_weight)) - log_weight.logsumexp(0)
