"""One file a sub-command of `fairseq-latent`: arguments in, calls, prints."""
