"""What exchanges spend and how fast they are: tokens, seconds, cost."""
