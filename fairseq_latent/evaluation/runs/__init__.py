"""What a training and its decoding left in a run folder, read back."""
