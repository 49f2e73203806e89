"""What ratings say: means, tests, agreement, raters, correlation with metrics, power."""
