"""Where lines come from. Every source yields the same Record and knows no other source."""
