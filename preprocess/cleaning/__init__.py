"""Cleaning rules for the text of a turn, and its language."""
