"""P²BOT's self-play (Liu et al., 2020): two agents talk, and what is said is rewarded."""
