"""Parts that models own. They take plain arguments, never a configuration."""
