"""Where events go. Every sink is one file and knows no other sink."""
