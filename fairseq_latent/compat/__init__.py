"""Every work-around for the fairseq and torch versions we run on: why it is here, and when to delete it (`patches`)."""
