"""Datasets and collaters."""
