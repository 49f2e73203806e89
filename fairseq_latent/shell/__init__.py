"""What the bash scripts leave to Python: locks, jobs side by side, progress, files that are made once, trainings.

Standard library alone, so that `python -m fairseq_latent.shell` starts in a tenth of a second.
"""
