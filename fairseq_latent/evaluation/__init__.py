"""Measuring, explaining and reporting: runs, metrics, analysis, plotting, reporting; each room imports those before it."""
