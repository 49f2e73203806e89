"""Work-arounds for decoding: `compat.apply` puts them in place."""

import functools

from fairseq.search import Sampling

from ..search import TopKTopPSampling


def honour_topk_with_topp(build_generator):
    """--sampling-topk is ignored when --sampling-topp is set. Delete when fairseq's Sampling applies both."""

    @functools.wraps(build_generator)
    def wrapped(self, *args, **kwargs):
        generator = build_generator(self, *args, **kwargs)
        strategy = getattr(generator, "search", None)
        if type(strategy) is Sampling and strategy.sampling_topk > 0 and strategy.sampling_topp > 0:
            generator.search = TopKTopPSampling(self.target_dictionary, strategy.sampling_topk, strategy.sampling_topp)
        return generator

    return wrapped


def number_beams_in_batch(inference_step):
    """--diverse-beam-groups indexes the batch by data-set ids (IndexError). Delete when search.step gets batch indices."""

    @functools.wraps(inference_step)
    def wrapped(self, generator, models, sample, *args, **kwargs):
        sample = {name: value for name, value in sample.items() if name != "id"}
        return inference_step(self, generator, models, sample, *args, **kwargs)

    return wrapped
