"""The command line: `main.py` finds a command, the others have those of one field each."""
