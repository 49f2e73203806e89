"""Figures: numbers in, matplotlib figures out."""
