"""One file of responses under each paper's or toolkit's conventions: `fairseq-latent score --conventions`."""
