"""Splitting into train, valid and test by whole conversations."""
