"""Prompts: own persona, history and reply with token types and special tokens (Wolf et al., 2019; Liu et al., 2020)."""
