"""Measures dialogue by dialogue, as sums whose ratio is the value of any choice of dialogues."""
