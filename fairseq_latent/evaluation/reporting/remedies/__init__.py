"""Remedies against posterior collapse at several strengths: what each gives for a nat of KL."""
