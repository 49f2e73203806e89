"""Records: what is left of a training once it is measured, as one small text file, and tables of many of them."""
