"""What a daemon lives through: kills, receivers that are down or hang, full disks (make outage)."""
