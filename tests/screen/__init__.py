"""The desktop agent on real desktops: X, a session bus and notification servers of our own."""
