"""What the service runs: logs into the store, looked after and looked at by systemd."""
