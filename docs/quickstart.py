# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A trained model in a notebook
#
# After `bash scripts/quickstart.sh` there are two models in `runs/quickstart`: a T-CVAE, and the same trained with
# speculative sampling. This notebook loads one, replies with several latents, scores responses, and looks at the latents.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fairseq_latent

run = os.environ.get("RUN", "runs/quickstart/speculative_k5")
data = os.environ.get("DATA", "data-bin/quickstart")
model = fairseq_latent.load(run, data=data)

# %% [markdown]
# ## Replies
#
# One reply per latent, each sampled from the prior of the context. With beam search the latent alone makes the difference.

# %%
contexts = [["hi , how are you ?"], ["do you like winter ?", "i do .", "why ?"]]
for context, replies in zip(contexts, model.reply(contexts, n=3, beam=5, max_length=20), strict=True):
    print(" / ".join(context))
    for reply in replies:
        print("   ->", reply.text)

# %% [markdown]
# ## Scores
#
# Nats per response: what it costs given one sample of the posterior, how far the posterior lies from the prior, and what it
# costs with samples of the prior, as in decoding.

# %%
responses = ["i am good , how are you ?", "because of the snow ."]
scores = model.score(contexts, responses, prior_samples=3)
for response, nll, kl, prior in zip(responses, scores.nll, scores.kl, scores.prior_nll, strict=True):
    print(f"{response:30} NLL {nll:6.2f}   KL {kl:5.2f}   NLL under the prior {prior:6.2f}")

# %% [markdown]
# ## The latent space
#
# Means of the prior (circles) and of the posterior (crosses) of the test set's first pairs, on their two principal axes. In
# a collapsed model every cross lies on its circle.

# %%
text = Path(f"{data}.text")
pairs = [(text / f"test.{side}").read_text("utf-8").splitlines()[:50] for side in ("src", "tgt")]
latents = model.latents(*pairs)
means = np.concatenate([latents.prior_mean, latents.posterior_mean])
_, _, axes = np.linalg.svd(means - means.mean(0), full_matrices=False)
points = (means - means.mean(0)) @ axes[:2].T
prior, posterior = np.split(points, 2)

figure, axis = plt.subplots(figsize=(5, 5))
for one, other in zip(prior, posterior, strict=True):
    axis.plot(*zip(one, other, strict=True), color="lightgrey", linewidth=0.7)
axis.scatter(*prior.T, marker="o", facecolors="none", edgecolors="tab:blue", label="prior")
axis.scatter(*posterior.T, marker="x", color="tab:orange", label="posterior")
axis.legend()
axis.set_title("means of prior and posterior")
