"""What the daemon tells of itself, and what `metrics` and `health` make of that and the store."""
