"""lockdown-watcher: what the kernel's lockdown refused, explained, from the kernel's own log."""

__version__ = "0.1.0"
