"""The columns of other papers, measured where asked: `fairseq-latent score --field`."""
