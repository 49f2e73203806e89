"""Persona data: conversations of two speakers with profiles, profiles from history, and the examples made of them."""
